#include "client/cli/command.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/option_text.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kEnvPrefix = "WHEELPIT_";
// Other WHEELPIT_ names are not ours to judge: `wheelpit work` sets some for its commands.
constexpr std::array<absl::string_view, 7> kEnvNames = {
    "address",         "tls",           "tls_ca_file", "tls_cert_file", "tls_key_file",
    "tls_server_name", "allow_insecure"};

std::vector<std::string> OurEnvironment() {
  std::vector<std::string> ours;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    absl::string_view text(*entry);
    if (!absl::StartsWith(text, kEnvPrefix)) continue;
    const size_t equals = text.find('=');
    if (equals == absl::string_view::npos) continue;
    const std::string name =
        absl::AsciiStrToLower(text.substr(kEnvPrefix.size(), equals - kEnvPrefix.size()));
    if (std::find(kEnvNames.begin(), kEnvNames.end(), name) != kEnvNames.end()) {
      ours.emplace_back(text);
    }
  }
  return ours;
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    default:
      return kExitFailed;
  }
}

int Complain(absl::string_view command, const absl::Status& status) {
  const std::string reason = StatusReason(status);
  std::cerr << "wheelpit " << command << ": "
            << (reason.empty() ? absl::StatusCodeToString(status.code()) : reason) << ": "
            << status.message() << "\n";
  return ExitCodeOf(status);
}

CommandFlags::CommandFlags(std::string name, std::string usage)
    : name_(std::move(name)), usage_(std::move(usage)) {
  table_.AddString("address", &client_.address, "aggregator's gRPC address, host:port");
  table_.AddBool("tls", &client_.tls, "use TLS");
  table_.AddString("tls_ca_file", &client_.tls_ca_file, "PEM; empty = the system's authorities");
  table_.AddString("tls_cert_file", &client_.tls_cert_file, "PEM, client certificate");
  table_.AddString("tls_key_file", &client_.tls_key_file, "PEM, key of the client certificate");
  table_.AddString("tls_server_name", &client_.tls_server_name,
                   "name to expect in the server's certificate");
  table_.AddBool("allow_insecure", &client_.allow_insecure, "plaintext to another machine");
  table_.AddDuration("call_timeout", &call_timeout_ms_, "limit of one call", {.min = 1});
  table_.AddBool("json", &json_, "JSON for programs");
  table_.AddBool("help", &help_, "this text");
}

std::optional<int> CommandFlags::Parse(std::vector<std::string> args,
                                       std::vector<std::string>* positional,
                                       std::vector<std::string>* rest) {
  if (rest != nullptr) {
    const auto separator = std::find(args.begin(), args.end(), "--");
    if (separator != args.end()) rest->assign(separator + 1, args.end());
    args.erase(separator, args.end());
  }
  if (const absl::Status status = table_.ParseEnv(kEnvPrefix, OurEnvironment()); !status.ok()) {
    return UsageError(status.message());
  }
  if (const absl::Status status = table_.ParseFlags(args, positional); !status.ok()) {
    return UsageError(status.message());
  }
  if (help_) {
    PrintHelp();
    return kExitOk;
  }
  client_.call_timeout = absl::Milliseconds(call_timeout_ms_);
  if (const absl::Status status = CheckClientOptions(client_); !status.ok()) {
    return UsageError(status.message());
  }
  return std::nullopt;
}

int CommandFlags::UsageError(absl::string_view message) const {
  std::cerr << "wheelpit " << name_ << ": " << message << "\nTry: wheelpit " << name_
            << " --help\n";
  return kExitUsage;
}

void CommandFlags::PrintHelp() const {
  std::cout << usage_ << "\nFlags:\n";
  std::cout << OptionHelp(table_);
  std::cout << "\nEnvironment: WHEELPIT_ADDRESS, WHEELPIT_TLS, WHEELPIT_TLS_CA_FILE, … as the "
               "flags of these names.\nExit codes: 0 ok, 1 failed, 2 usage, 3 unreachable or timed "
               "out, 4 partly.\n";
}

absl::StatusOr<LabelPair> ParsePair(absl::string_view text) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not NAME=VALUE"));
  }
  return LabelPair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::ostringstream text;
  text << file.rdbuf();
  // An empty file sets failbit; only badbit is an error.
  if (file.bad()) return absl::InternalError(absl::StrCat("cannot read ", path));
  return text.str();
}

}  // namespace wheelpit
