#include "server/journal_log/segment_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "server/journal_log/layout.h"

namespace wheelpit {
namespace {
constexpr absl::string_view kBuildingName = "spare.tmp";
constexpr absl::string_view kCreatingName = "segment.tmp";
constexpr absl::string_view kReserveName = "reserve.tmp";
}  // namespace

SegmentPool::SegmentPool(FileSystem* fs, std::string dir, SegmentPoolOptions options,
                         std::atomic<uint64_t>* next_number)
    : fs_(fs), dir_(std::move(dir)), options_(options), next_number_(next_number) {}

void SegmentPool::Count() {
  spares_count_.store(spares_.size(), std::memory_order_relaxed);
  reserves_count_.store(reserves_.size(), std::memory_order_relaxed);
}

absl::StatusOr<bool> SegmentPool::HasSegmentSize(const std::string& path) {
  WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs_->Open(path, OpenMode::kRead));
  WHEELPIT_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  return size == options_.segment_bytes;
}

absl::Status SegmentPool::Load(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const bool free = NumberInName(name, "free-", ".log").has_value();
    const bool reserve = NumberInName(name, "reserve-", ".log").has_value();
    if (!free && !reserve) continue;
    const std::string path = JoinPath(dir_, name);
    WHEELPIT_ASSIGN_OR_RETURN(const bool fits, HasSegmentSize(path));
    std::vector<std::string>& pool = free ? spares_ : reserves_;
    if (!fits || pool.size() >= (free ? options_.spares_max : options_.reserves)) {
      WHEELPIT_RETURN_IF_ERROR(fs_->Unlink(path));
      continue;
    }
    pool.push_back(name);
  }
  Count();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<File>> SegmentPool::Adopt(const std::string& name, uint64_t number) {
  const std::string path = JoinPath(dir_, SegmentName(number));
  WHEELPIT_RETURN_IF_ERROR(fs_->Rename(JoinPath(dir_, name), path));
  // Before the first write: else a power cut could leave the new content under the old name.
  WHEELPIT_RETURN_IF_ERROR(fs_->SyncDir(dir_));
  WHEELPIT_ASSIGN_OR_RETURN(auto file, fs_->Open(path, OpenMode::kReadWrite));
  return std::shared_ptr<File>(std::move(file));
}

absl::StatusOr<std::shared_ptr<File>> SegmentPool::Take(uint64_t number, bool may_create) {
  if (!spares_.empty()) {
    WHEELPIT_ASSIGN_OR_RETURN(auto file, Adopt(spares_.back(), number));
    spares_.pop_back();
    Count();
    return file;
  }
  absl::Status created = absl::ResourceExhaustedError("the disk is low");
  if (may_create) {
    const std::string path = JoinPath(dir_, kCreatingName);
    auto file = fs_->Open(path, OpenMode::kCreate);
    created = file.ok() ? (*file)->Allocate(options_.segment_bytes) : file.status();
    if (created.ok()) return Adopt(std::string(kCreatingName), number);
    if (file.ok()) fs_->Unlink(path).IgnoreError();
  }
  if (!absl::IsResourceExhausted(created) || reserves_.empty()) return created;
  WHEELPIT_ASSIGN_OR_RETURN(auto file, Adopt(reserves_.back(), number));
  reserves_.pop_back();
  Count();
  return file;
}

absl::Status SegmentPool::Recycle(uint64_t number) {
  const std::string path = JoinPath(dir_, SegmentName(number));
  WHEELPIT_ASSIGN_OR_RETURN(const bool fits, HasSegmentSize(path));
  if (!fits || spares_.size() >= options_.spares_max) return fs_->Unlink(path);
  const std::string name = FreeName(next_number_->fetch_add(1));
  WHEELPIT_RETURN_IF_ERROR(fs_->Rename(path, JoinPath(dir_, name)));
  spares_.push_back(name);
  Count();
  return absl::OkStatus();
}

absl::Status SegmentPool::FillReserve() {
  for (uint64_t i = 0; i < options_.reserves && reserves_.size() < options_.reserves; ++i) {
    const std::string name = ReserveName(i);
    if (std::find(reserves_.begin(), reserves_.end(), name) != reserves_.end()) continue;
    const std::string temporary = JoinPath(dir_, kReserveName);
    WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs_->Open(temporary, OpenMode::kCreate));
    if (absl::Status allocated = file->Allocate(options_.segment_bytes); !allocated.ok()) {
      fs_->Unlink(temporary).IgnoreError();
      return allocated;
    }
    WHEELPIT_RETURN_IF_ERROR(fs_->Rename(temporary, JoinPath(dir_, name)));
    reserves_.push_back(name);
  }
  Count();
  return absl::OkStatus();
}

absl::Status SegmentPool::PrepareSpare() {
  const std::string temporary = JoinPath(dir_, kBuildingName);
  if (building_ == nullptr) {
    WHEELPIT_ASSIGN_OR_RETURN(building_, fs_->Open(temporary, OpenMode::kCreate));
    built_bytes_ = 0;
    if (absl::Status allocated = building_->Allocate(options_.segment_bytes); !allocated.ok()) {
      building_.reset();
      fs_->Unlink(temporary).IgnoreError();
      return allocated;
    }
  }
  const std::string zeros(std::min(options_.step_bytes, options_.segment_bytes - built_bytes_),
                          '\0');
  absl::Status step = building_->WriteAt(built_bytes_, {absl::string_view(zeros)});
  // In small steps, for a commit waits behind each.
  if (step.ok()) step = building_->SyncData();
  if (!step.ok()) {
    // Nobody knows any more what is in it.
    building_.reset();
    fs_->Unlink(temporary).IgnoreError();
    return step;
  }
  built_bytes_ += zeros.size();
  if (built_bytes_ < options_.segment_bytes) return absl::OkStatus();
  building_.reset();
  const std::string name = FreeName(next_number_->fetch_add(1));
  WHEELPIT_RETURN_IF_ERROR(fs_->Rename(temporary, JoinPath(dir_, name)));
  spares_.push_back(name);
  Count();
  return absl::OkStatus();
}

}  // namespace wheelpit
