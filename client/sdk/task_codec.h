// Between the SDK's values and the wire's messages.
#pragma once

#include "client/sdk/submitter.h"
#include "wheelpit/v1/types.pb.h"

namespace wheelpit {

// kInvalidArgument BAD_FIELD: a field is not valid UTF-8, which no message could carry.
absl::Status CheckText(const NewTask& task);
v1::TaskSpec ToTaskSpec(NewTask task);
TaskInfo ToTaskInfo(const v1::Task& task);
TaskInfo::State ToState(v1::TaskState state);

}  // namespace wheelpit
