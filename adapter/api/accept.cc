#include "adapter/api/accept.h"

#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace wheelpit::adapter {
namespace {

struct Clause {
  std::string type;
  std::map<std::string, std::string> parameters;
  double q = 1;
};

Clause ParseClause(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ';');
  Clause clause;
  clause.type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair.first));
    const absl::string_view value = absl::StripAsciiWhitespace(pair.second);
    if (name == "q") {
      if (!absl::SimpleAtod(value, &clause.q)) clause.q = 0;
    } else {
      clause.parameters[name] = std::string(value);
    }
  }
  return clause;
}

Negotiated Judge(const Clause& clause, bool aggregated) {
  const Negotiated no{Negotiated::Kind::kNotAcceptable, ""};
  const bool json =
      clause.type == "application/json" || clause.type == "application/*" || clause.type == "*/*";
  if (!json || clause.q <= 0) return no;
  const auto as = clause.parameters.find("as");
  if (as == clause.parameters.end()) return {};
  const auto parameter = [&](const char* name) {
    const auto it = clause.parameters.find(name);
    return it == clause.parameters.end() ? std::string() : it->second;
  };
  const std::string version = parameter("v");
  const bool known = as->second == "APIGroupDiscoveryList" &&
                     parameter("g") == "apidiscovery.k8s.io" &&
                     (version == "v2" || version == "v2beta1");
  if (aggregated && known) return {Negotiated::Kind::kAggregatedDiscovery, version};
  return no;
}

}  // namespace

Negotiated NegotiateAccept(absl::string_view accept, bool aggregated) {
  if (absl::StripAsciiWhitespace(accept).empty()) return {};
  Negotiated best{Negotiated::Kind::kNotAcceptable, ""};
  double best_q = 0;
  for (absl::string_view text : absl::StrSplit(accept, ',')) {
    const Clause clause = ParseClause(text);
    const Negotiated judged = Judge(clause, aggregated);
    if (judged.kind != Negotiated::Kind::kNotAcceptable && clause.q > best_q) {
      best = judged;
      best_q = clause.q;
    }
  }
  return best;
}

}  // namespace wheelpit::adapter
