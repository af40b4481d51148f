// Reviews answered by a script, and waits that are written down instead of waited.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "adapter/auth/review_call.h"
#include "tests/support/simulated_clock.h"

namespace wheelpit::adapter {

// Answers each post with the next of `answers`; the last one stays.
class ScriptedKube final : public KubeClient {
 public:
  using Json = nlohmann::json;

  absl::StatusOr<Json> Get(absl::string_view, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<Json> Post(absl::string_view target, const Json& body, absl::Duration) override {
    targets.emplace_back(target);
    bodies.push_back(body);
    absl::StatusOr<Json> answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    return answer;
  }
  absl::Status Watch(absl::string_view, absl::Duration,
                     absl::FunctionRef<absl::Status(const Json&)>) override {
    return absl::UnimplementedError("");
  }
  void Cancel() override {}

  ReviewParts Parts() {
    return {this, &clock, [this](absl::Duration time) {
              waits.push_back(time);
              clock.Advance(absl::ToInt64Milliseconds(time));
              return !stopping;
            }};
  }

  std::deque<absl::StatusOr<Json>> answers;
  std::vector<std::string> targets;
  std::vector<Json> bodies;
  std::vector<absl::Duration> waits;
  bool stopping = false;
  SimulatedClock clock{1'000'000};
};

}  // namespace wheelpit::adapter
