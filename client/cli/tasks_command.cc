// `wheelpit tasks`: looking at single tasks, waiting for them, cancelling them.
#include <google/protobuf/util/json_util.h>

#include <iostream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/sdk/channel.h"
#include "client/sdk/submitter.h"
#include "client/sdk/task_codec.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit {
namespace {

constexpr char kUsage[] =
    "usage: wheelpit tasks list --queue=Q [--state=STATE]... [--limit=N]\n"
    "       wheelpit tasks show ID...\n"
    "       wheelpit tasks wait ID... [--wait_timeout=D]\n"
    "       wheelpit tasks cancel ID... [--force]\n"
    "\n"
    "STATE: delayed, ready, leased, retry_wait, succeeded, dead, cancelled, expired.\n"
    "wait ends with 0 only if every task succeeded.\n";

struct TasksFlags {
  std::string queue;
  std::vector<std::string> states;
  int64_t limit = 100;
  int64_t wait_timeout_ms = 3'600'000;
  bool force = false;
};

void PrintJson(const v1::Task& task) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string line;
  if (google::protobuf::util::MessageToJsonString(task, &line, options).ok()) {
    std::cout << line << "\n";
  }
}

void Print(const v1::Task& task, bool json) {
  if (json) {
    PrintJson(task);
    return;
  }
  const bool terminal = StdoutIsTerminal();
  Table table({"FIELD", "VALUE"});
  table.Add({"id", task.id()});
  table.Add({"queue", task.queue()});
  table.Add({"state", StateText(ToState(task.state()), terminal)});
  table.Add({"attempts", absl::StrCat(task.attempts())});
  table.Add({"submitted", absl::FormatTime(absl::FromUnixMillis(task.submitted_at_ms()))});
  if (!task.worker().empty()) table.Add({"worker", task.worker()});
  if (!task.last_error().empty()) table.Add({"error", absl::Utf8SafeCEscape(task.last_error())});
  if (!task.dead_reason().empty()) table.Add({"dead_reason", task.dead_reason()});
  if (!task.result().empty()) table.Add({"result", absl::Utf8SafeCEscape(task.result())});
  std::cout << table.Render(terminal);
}

absl::StatusOr<v1::TaskState> ParseState(const std::string& name) {
  for (int state = v1::TASK_STATE_DELAYED; state <= v1::TASK_STATE_EXPIRED; ++state) {
    if (TaskStateName(ToState(static_cast<v1::TaskState>(state))) == name) {
      return static_cast<v1::TaskState>(state);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("--state: there is no state \"", name, "\""));
}

class TasksRun {
 public:
  TasksRun(const CommandFlags& common, const TasksFlags& flags,
           std::shared_ptr<grpc::Channel> channel)
      : common_(common), flags_(flags), stub_(v1::QueueService::NewStub(std::move(channel))) {}

  int List() {
    v1::ListTasksRequest request;
    request.set_queue(flags_.queue);
    for (const std::string& name : flags_.states) {
      const auto state = ParseState(name);
      if (!state.ok()) return common_.UsageError(state.status().message());
      request.add_states(*state);
    }
    const bool terminal = StdoutIsTerminal();
    Table table({"ID", "STATE", "ATTEMPTS", "SUBMITTED", "ERROR"});
    int64_t left = flags_.limit;
    do {
      request.set_page_size(static_cast<uint32_t>(std::min<int64_t>(left, 1000)));
      v1::ListTasksResponse response;
      grpc::ClientContext context;
      SetDeadline(&context, common_.client().call_timeout);
      const absl::Status status = FromGrpcStatus(stub_->ListTasks(&context, request, &response));
      if (!status.ok()) return Complain("tasks", status);
      for (v1::Task& task : *response.mutable_tasks()) {
        AddError(&task);
        if (common_.json()) {
          PrintJson(task);
        } else {
          table.Add({task.id(), StateText(ToState(task.state()), terminal),
                     absl::StrCat(task.attempts()),
                     absl::FormatTime(absl::FromUnixMillis(task.submitted_at_ms())),
                     absl::Utf8SafeCEscape(task.last_error().substr(0, 80))});
        }
      }
      left -= response.tasks_size();
      request.set_cursor(response.next_cursor());
    } while (left > 0 && !request.cursor().empty());
    std::cout << table.Render(terminal);
    return kExitOk;
  }

  absl::Status Show(const std::string& id) {
    v1::GetTaskRequest request;
    request.set_id(id);
    request.set_with_result(true);
    request.set_with_payload(common_.json());
    v1::Task task;
    grpc::ClientContext context;
    SetDeadline(&context, common_.client().call_timeout);
    const absl::Status status = FromGrpcStatus(stub_->GetTask(&context, request, &task));
    if (status.ok()) Print(task, common_.json());
    return status;
  }

  absl::Status Cancel(const std::string& id) {
    v1::CancelTaskRequest request;
    request.set_id(id);
    request.set_force(flags_.force);
    v1::Task task;
    grpc::ClientContext context;
    SetDeadline(&context, common_.client().call_timeout);
    const absl::Status status = FromGrpcStatus(stub_->CancelTask(&context, request, &task));
    if (status.ok()) Print(task, common_.json());
    return status;
  }

  absl::Status Wait(const std::string& id, Submitter* submitter) {
    const auto task = submitter->WaitTask(id, absl::Milliseconds(flags_.wait_timeout_ms));
    if (!task.ok()) return task.status();
    const absl::Status shown = Show(id);
    if (!shown.ok() || task->state == TaskInfo::State::kSucceeded) return shown;
    const std::string text = absl::StrCat("task ", id, " is ", TaskStateName(task->state));
    return task->terminal() ? absl::FailedPreconditionError(text)
                            : absl::DeadlineExceededError(text);
  }

 private:
  // A listing reads no disk at the server, and that is where errors are.
  void AddError(v1::Task* task) {
    if (task->state() != v1::TASK_STATE_DEAD && task->state() != v1::TASK_STATE_RETRY_WAIT) return;
    v1::GetTaskRequest request;
    request.set_id(task->id());
    v1::Task whole;
    grpc::ClientContext context;
    SetDeadline(&context, common_.client().call_timeout);
    // It may be gone, or in another state, by now: then the listing stays as it is.
    if (!stub_->GetTask(&context, request, &whole).ok()) return;
    if (whole.state() == task->state()) *task = std::move(whole);
  }

  const CommandFlags& common_;
  const TasksFlags& flags_;
  const std::unique_ptr<v1::QueueService::Stub> stub_;
};

}  // namespace

int RunTasks(const std::vector<std::string>& args) {
  CommandFlags common("tasks", kUsage);
  TasksFlags flags;
  common.table().AddString("queue", &flags.queue, "list: the queue (required)");
  common.table().AddList("state", &flags.states, "list: only these; repeatable");
  common.table().AddInt("limit", &flags.limit, "list: at most this many",
                        {.min = 1, .max = 1'000'000});
  common.table().AddDuration("wait_timeout", &flags.wait_timeout_ms, "wait: give up after");
  common.table().AddBool("force", &flags.force, "cancel: take the task from a running worker");
  std::vector<std::string> words;
  if (const auto code = common.Parse(args, &words)) return *code;
  if (words.empty()) return common.UsageError("say list, show, wait or cancel");
  const std::string verb = words[0];
  const std::vector<std::string> ids(words.begin() + 1, words.end());
  auto channel = MakeChannel(common.client());
  if (!channel.ok()) return Complain("tasks", channel.status());
  TasksRun run(common, flags, *channel);
  if (verb == "list") {
    if (flags.queue.empty() || !ids.empty()) return common.UsageError("list needs --queue alone");
    return run.List();
  }
  if (verb != "show" && verb != "wait" && verb != "cancel") {
    return common.UsageError(absl::StrCat("say list, show, wait or cancel, not \"", verb, "\""));
  }
  if (ids.empty()) return common.UsageError(absl::StrCat(verb, " needs at least one ID"));
  SubmitterOptions options;
  options.client = common.client();
  auto submitter = Submitter::Create(options);
  if (!submitter.ok()) return Complain("tasks", submitter.status());
  size_t failed = 0;
  int code = kExitOk;
  for (const std::string& id : ids) {
    const absl::Status status = verb == "show"     ? run.Show(id)
                                : verb == "cancel" ? run.Cancel(id)
                                                   : run.Wait(id, submitter->get());
    if (status.ok()) continue;
    ++failed;
    code = Complain("tasks", status);
  }
  return failed > 0 && failed < ids.size() ? static_cast<int>(kExitPartly) : code;
}

}  // namespace wheelpit
