// A Kubernetes API server over real HTTPS, in this process: tokens, access rules and one ConfigMap
// that can be watched.
//
//   FakeKubeApi api;
//   api.SetUser("good-token", {{"username", "anna"}});
//   api.Allow("anna", "queue_depth");
//   KubeConfig config = api.Config();
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "adapter/kube/kube_config.h"
#include "base/clock.h"
#include "base/http/http_server.h"
#include "base/sync.h"
#include "nlohmann/json.hpp"
#include "tests/support/std_threads.h"
#include "tests/support/test_pki.h"

namespace wheelpit::adapter {

// Thread-safe.
class FakeKubeApi {
 public:
  using Json = nlohmann::json;
  static constexpr char kOwnToken[] = "adapter-token";

  FakeKubeApi() : ca_("kube-ca") {
    const TestCertificate own = ca_.IssueServer();
    HttpServerOptions options;
    options.certificate_pem = own.certificate_pem;
    options.key_pem = own.key_pem;
    auto started = HttpServer::Start(
        options, [this](const HttpRequest& request) { return Handle(request); }, &StartStdThread,
        &clock_);
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  ~FakeKubeApi() { Stop(); }

  void Stop() {
    {
      MutexLock lock(&mu_);
      stopping_ = true;
      changed_.SignalAll();
    }
    server_->Stop(0);
  }

  KubeConfig Config() const {
    KubeConfig config;
    config.server = absl::StrCat("https://127.0.0.1:", server_->port());
    config.ca_pem = ca_.pem();
    config.token = kOwnToken;
    return config;
  }
  // The same as a file's text.
  std::string Kubeconfig() const {
    const Json config = {
        {"current-context", "c"},
        {"contexts", {{{"name", "c"}, {"context", {{"cluster", "k"}, {"user", "u"}}}}}},
        {"clusters",
         {{{"name", "k"},
           {"cluster",
            {{"server", Config().server},
             {"certificate-authority-data", absl::Base64Escape(ca_.pem())}}}}}},
        {"users", {{{"name", "u"}, {"user", {{"token", kOwnToken}}}}}}};
    return config.dump();
  }

  void SetUser(const std::string& token, Json user) {
    MutexLock lock(&mu_);
    users_[token] = std::move(user);
  }
  // `what` is a resource or a path.
  void Allow(const std::string& user, const std::string& what) {
    MutexLock lock(&mu_);
    allowed_.insert({user, what});
  }
  void Forbid(const std::string& user, const std::string& what) {
    MutexLock lock(&mu_);
    allowed_.erase({user, what});
  }
  // The data of kube-system/extension-apiserver-authentication.
  void SetAuthData(Json data) {
    MutexLock lock(&mu_);
    auth_data_ = std::move(data);
    ++version_;
    changed_.SignalAll();
  }
  // The next `count` reviews, or lists, are answered with this status.
  void FailNext(int count, int status) {
    MutexLock lock(&mu_);
    failures_ = count;
    failure_status_ = status;
  }
  // Watches from an old version are refused with 410 Gone.
  void ForgetHistory() {
    MutexLock lock(&mu_);
    gone_ = true;
    changed_.SignalAll();
  }

  // What came, as `POST /path`, without lists and watches of the ConfigMap.
  std::vector<std::string> reviews() const {
    MutexLock lock(&mu_);
    return reviews_;
  }
  Json last_spec() const {
    MutexLock lock(&mu_);
    return last_spec_;
  }
  int lists() const {
    MutexLock lock(&mu_);
    return lists_;
  }
  int watches() const {
    MutexLock lock(&mu_);
    return watches_;
  }
  // Blocks until so many watches have begun.
  void AwaitWatches(int count) {
    MutexLock lock(&mu_);
    while (watches_ < count) changed_.Wait(&mu_);
  }

 private:
  HttpResponse Handle(const HttpRequest& request) {
    if (request.Header("Authorization") != absl::StrCat("Bearer ", kOwnToken))
      return Error(401, "Unauthorized");
    const std::string path = request.RawPath();
    MutexLock lock(&mu_);
    const bool watch = request.Query("watch") == "true";
    if (failures_ > 0 && !watch) {
      --failures_;
      return Error(failure_status_, "told to fail");
    }
    if (path == "/api/v1/namespaces/kube-system/configmaps") {
      if (request.Query("fieldSelector") != "metadata.name=extension-apiserver-authentication")
        return Error(403, "configmaps is forbidden");
      return watch ? Watch(request) : List();
    }
    reviews_.push_back(absl::StrCat(request.method, " ", path));
    Json review = Json::parse(request.body, nullptr, false);
    if (!review.is_object()) return Error(400, "no JSON");
    last_spec_ = review["spec"];
    if (path == "/apis/authentication.k8s.io/v1/tokenreviews") {
      const auto user = users_.find(last_spec_.value("token", ""));
      review["status"] = {{"authenticated", user != users_.end()}};
      if (user != users_.end()) review["status"]["user"] = user->second;
      return JsonResponse(201, review.dump());
    }
    if (path != "/apis/authorization.k8s.io/v1/subjectaccessreviews") return Error(404, "no route");
    const bool resource = last_spec_.contains("resourceAttributes");
    const std::string what = resource ? last_spec_["resourceAttributes"].value("resource", "")
                                      : last_spec_["nonResourceAttributes"].value("path", "");
    const bool allowed = allowed_.count({last_spec_.value("user", ""), what}) != 0;
    review["status"] = {{"allowed", allowed}, {"reason", allowed ? "" : "no rule says so"}};
    return JsonResponse(201, review.dump());
  }

  Json Object() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return {{"metadata",
             {{"name", "extension-apiserver-authentication"},
              {"resourceVersion", absl::StrCat(version_)}}},
            {"data", auth_data_}};
  }

  HttpResponse List() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++lists_;
    gone_ = false;
    changed_.SignalAll();
    Json list = {{"kind", "ConfigMapList"},
                 {"metadata", {{"resourceVersion", absl::StrCat(version_)}}},
                 {"items", Json::array()}};
    if (!auth_data_.is_null()) list["items"].push_back(Object());
    return JsonResponse(200, list.dump());
  }

  // Ends with the first event, as a server may.
  HttpResponse Watch(const HttpRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++watches_;
    changed_.SignalAll();
    const std::string from(request.Query("resourceVersion"));
    while (!stopping_ && !gone_ && absl::StrCat(version_) == from) changed_.Wait(&mu_);
    if (gone_) {
      return JsonResponse(
          200, Json{{"type", "ERROR"}, {"object", {{"kind", "Status"}, {"code", 410}}}}.dump() + "\n");
    }
    return JsonResponse(200, Json{{"type", "MODIFIED"}, {"object", Object()}}.dump() + "\n");
  }

  static HttpResponse Error(int status, const std::string& message) {
    return JsonResponse(status, Json{{"kind", "Status"}, {"message", message}, {"code", status}}.dump());
  }

  const TestCa ca_;
  SystemClock clock_;
  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  int version_ ABSL_GUARDED_BY(mu_) = 1;
  int lists_ ABSL_GUARDED_BY(mu_) = 0;
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
  int failure_status_ ABSL_GUARDED_BY(mu_) = 500;
  Json auth_data_ ABSL_GUARDED_BY(mu_);
  Json last_spec_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Json> users_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<std::string, std::string>> allowed_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> reviews_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<HttpServer> server_;
};

}  // namespace wheelpit::adapter
