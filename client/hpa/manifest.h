// Reads an autoscaling/v2 HorizontalPodAutoscaler manifest, validated and defaulted as the API server does.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/hpa/hpa.h"

namespace wheelpit::hpa {

// `yaml` may hold several documents; the first HorizontalPodAutoscaler counts. kInvalidArgument names the field and what it may be.
// Resource and ContainerResource metrics are refused.
absl::StatusOr<Spec> ParseManifest(absl::string_view yaml);

}  // namespace wheelpit::hpa
