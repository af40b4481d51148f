// Early returns for absl::Status and absl::StatusOr.
//
//   WHEELPIT_RETURN_IF_ERROR(file->Sync());
//   WHEELPIT_ASSIGN_OR_RETURN(auto config, LoadConfig(path));
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define WHEELPIT_RETURN_IF_ERROR(expr)                    \
  do {                                                    \
    if (absl::Status wheelpit_status = (expr); !wheelpit_status.ok()) return wheelpit_status; \
  } while (false)

#define WHEELPIT_CONCAT_INNER(a, b) a##b
#define WHEELPIT_CONCAT(a, b) WHEELPIT_CONCAT_INNER(a, b)
#define WHEELPIT_ASSIGN_OR_RETURN(decl, expr) \
  WHEELPIT_ASSIGN_OR_RETURN_INNER(WHEELPIT_CONCAT(wheelpit_statusor_, __LINE__), decl, expr)
#define WHEELPIT_ASSIGN_OR_RETURN_INNER(tmp, decl, expr) \
  auto tmp = (expr);                                     \
  if (!tmp.ok()) return std::move(tmp).status();         \
  decl = *std::move(tmp)
