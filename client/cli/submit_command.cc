// `wheelpit submit`: payloads from arguments, files or lines; ids, or results, in the order of the
// payloads.
#include <unistd.h>

#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/sdk/submitter.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kUsage[] =
    "usage: wheelpit submit --queue=Q [flags] [PAYLOAD | @FILE]...\n"
    "\n"
    "One task for each argument (@FILE: the file's content), each --file, or, if there are none,\n"
    "for each line of standard input. Prints the id of each task once it is durable, or, with\n"
    "--wait, its result once it has ended: alone for one task, `id<TAB>state<TAB>result` for\n"
    "several. A task that did not succeed makes the exit code 1, or 4 if others did.\n";

struct SubmitFlags {
  std::string queue;
  std::vector<std::string> files;
  std::vector<std::string> attributes;
  std::string key, content_type;
  int64_t priority = 0, max_attempts = 0;
  int64_t delay_ms = 0, deadline_ms = 60'000, wait_timeout_ms = 3'600'000;
  bool wait = false;
};

void Declare(OptionTable* table, SubmitFlags* f) {
  table->AddString("queue", &f->queue, "queue of the tasks (required)");
  table->AddList("file", &f->files, "a task whose payload is this file; repeatable");
  table->AddString("key", &f->key, "idempotency key; with several tasks -0, -1, … are added");
  table->AddString("content_type", &f->content_type, "of the payload");
  table->AddList("attribute", &f->attributes, "NAME=VALUE for the worker; repeatable");
  table->AddInt("priority", &f->priority, "-8 to 7, larger first", {.min = -8, .max = 7});
  table->AddInt("max_attempts", &f->max_attempts, "0 = the queue's", {.min = 0, .max = 1000});
  table->AddDuration("delay", &f->delay_ms, "not before this long from now");
  table->AddDuration("deadline", &f->deadline_ms, "give up on a submit after this long",
                     {.min = 1});
  table->AddBool("wait", &f->wait, "wait for the tasks to end and print their results");
  table->AddDuration("wait_timeout", &f->wait_timeout_ms, "give up waiting for a task after");
}

class SubmitRun {
 public:
  SubmitRun(const CommandFlags& common, const SubmitFlags& flags, NewTask base, bool several)
      : common_(common), flags_(flags), base_(std::move(base)), several_(several) {}

  absl::Status Start() {
    SubmitterOptions options;
    options.client = common_.client();
    options.deadline = absl::Milliseconds(flags_.deadline_ms);
    WHEELPIT_ASSIGN_OR_RETURN(submitter_, Submitter::Create(options));
    return absl::OkStatus();
  }

  void Add(std::string payload) {
    NewTask task = base_;
    task.payload = std::move(payload);
    if (!flags_.key.empty()) {
      task.idempotency_key = several_ ? absl::StrCat(flags_.key, "-", submitted_) : flags_.key;
    }
    ++submitted_;
    pending_.push_back(submitter_->SubmitAsync(std::move(task)));
    while (!pending_.empty() &&
           pending_.front().wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      TakeReceipt();
    }
  }

  int Finish() {
    {
      ProgressBar bar("submitting", submitted_);
      while (!pending_.empty()) {
        TakeReceipt();
        bar.Show(submitted_ - pending_.size());
      }
    }
    ProgressBar bar("waiting", ids_.size());
    for (size_t i = 0; flags_.wait && i < ids_.size(); ++i) {
      WaitFor(ids_[i]);
      bar.Show(i + 1);
    }
    if (failed_ == 0) return kExitOk;
    if (succeeded_ > 0) return kExitPartly;
    return first_error_code_;
  }

 private:
  void Fail(const absl::Status& status) {
    const int code = Complain("submit", status);
    if (failed_++ == 0) first_error_code_ = code;
  }

  void TakeReceipt() {
    const absl::StatusOr<SubmitReceipt> receipt = pending_.front().get();
    pending_.pop_front();
    if (!receipt.ok()) {
      Fail(receipt.status());
      return;
    }
    if (flags_.wait) {
      ids_.push_back(receipt->id);
      return;
    }
    ++succeeded_;
    if (common_.json()) {
      const Json line = {{"id", receipt->id},
                         {"state", TaskStateName(receipt->state)},
                         {"deduplicated", receipt->deduplicated}};
      std::cout << line.dump() << "\n";
    } else {
      std::cout << receipt->id << "\n";
    }
    // Whoever reads from a pipe gets what is known before the next line is read.
    if (pending_.empty()) std::cout << std::flush;
  }

  void WaitFor(const std::string& id) {
    const absl::StatusOr<TaskInfo> task =
        submitter_->WaitTask(id, absl::Milliseconds(flags_.wait_timeout_ms));
    if (!task.ok()) {
      Fail(task.status());
      return;
    }
    if (common_.json()) {
      Json line = {{"id", id}, {"state", TaskStateName(task->state)}, {"attempts", task->attempts}};
      line["result"] = task->result;
      if (!task->last_error.empty()) line["error"] = task->last_error;
      std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else if (several_) {
      std::cout << id << "\t" << TaskStateName(task->state) << "\t" << task->result << "\n";
    } else if (task->state == TaskInfo::State::kSucceeded) {
      std::cout << task->result;
      if (isatty(STDOUT_FILENO) == 1 && !absl::EndsWith(task->result, "\n")) std::cout << "\n";
    }
    if (task->state == TaskInfo::State::kSucceeded) {
      ++succeeded_;
    } else if (!task->terminal()) {
      Fail(absl::DeadlineExceededError(
          absl::StrCat("task ", id, " is still ", TaskStateName(task->state))));
    } else {
      Fail(absl::FailedPreconditionError(
          absl::StrCat("task ", id, " is ", TaskStateName(task->state), ": ", task->last_error)));
    }
  }

  const CommandFlags& common_;
  const SubmitFlags& flags_;
  const NewTask base_;
  const bool several_;
  std::unique_ptr<Submitter> submitter_;
  std::deque<std::future<absl::StatusOr<SubmitReceipt>>> pending_;
  std::vector<std::string> ids_;
  uint64_t submitted_ = 0;
  uint64_t succeeded_ = 0;
  uint64_t failed_ = 0;
  int first_error_code_ = kExitFailed;
};

}  // namespace

int RunSubmit(const std::vector<std::string>& args) {
  SubmitFlags flags;
  CommandFlags common("submit", kUsage);
  Declare(&common.table(), &flags);
  std::vector<std::string> payloads;
  if (const auto code = common.Parse(args, &payloads)) return *code;
  if (flags.queue.empty()) return common.UsageError("--queue is required");
  NewTask base;
  base.queue = flags.queue;
  base.content_type = flags.content_type;
  base.priority = static_cast<int>(flags.priority);
  base.max_attempts = static_cast<uint32_t>(flags.max_attempts);
  base.delay = absl::Milliseconds(flags.delay_ms);
  for (const std::string& text : flags.attributes) {
    const auto pair = ParsePair(text);
    if (!pair.ok()) return common.UsageError(pair.status().message());
    base.attributes.insert(*pair);
  }
  for (std::string& payload : payloads) {
    if (payload.empty() || payload[0] != '@') continue;
    absl::StatusOr<std::string> content = ReadWholeFile(payload.substr(1));
    if (!content.ok()) return Complain("submit", content.status());
    payload = *std::move(content);
  }
  for (const std::string& path : flags.files) {
    absl::StatusOr<std::string> content = ReadWholeFile(path);
    if (!content.ok()) return Complain("submit", content.status());
    payloads.push_back(*std::move(content));
  }
  const bool lines = payloads.empty();
  SubmitRun run(common, flags, std::move(base), lines || payloads.size() > 1);
  if (const absl::Status status = run.Start(); !status.ok()) return Complain("submit", status);
  for (std::string& payload : payloads) run.Add(std::move(payload));
  if (lines) {
    std::string line;
    while (std::getline(std::cin, line)) run.Add(line);
  }
  return run.Finish();
}

}  // namespace wheelpit
