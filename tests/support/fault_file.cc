#include "tests/support/fault_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

absl::Status IoError(absl::string_view what) {
  return MakeError(absl::StatusCode::kUnavailable, "IO", what);
}
absl::Status FullError() {
  return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                   "no space left on the simulated disk");
}
absl::Status Missing(absl::string_view path) {
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", absl::StrCat(path, ": no such file"));
}

}  // namespace

class FaultFileSystem::OpenFile : public File {
 public:
  OpenFile(FaultFileSystem* disk, std::shared_ptr<Node> node, uint64_t life)
      : disk_(disk), node_(std::move(node)), life_(life) {}

  absl::Status WriteAt(uint64_t offset, absl::Span<const absl::string_view> pieces) override {
    std::string bytes;
    for (absl::string_view piece : pieces) absl::StrAppend(&bytes, piece);
    MutexLock lock(&disk_->mu_);
    if (absl::Status alive = disk_->CheckAlive(life_); !alive.ok()) return alive;
    ++disk_->writes_;
    if (disk_->cut_in_ == 1) {
      // The power fails during the write: it had begun, so any of its sectors may be on the
      // platter.
      disk_->Write(node_.get(), offset, bytes).IgnoreError();
    }
    if (absl::Status on = disk_->Change(); !on.ok()) return on;
    if (disk_->fail_write_in_ > 0 && --disk_->fail_write_in_ == 0) {
      disk_
          ->Write(node_.get(), offset,
                  absl::string_view(bytes).substr(0, disk_->rng_.Below(bytes.size() + 1)))
          .IgnoreError();
      return IoError("simulated write error");
    }
    if (disk_->writes_full_) {
      disk_
          ->Write(node_.get(), offset,
                  absl::string_view(bytes).substr(0, disk_->rng_.Below(bytes.size() + 1)))
          .IgnoreError();
      return FullError();
    }
    return disk_->Write(node_.get(), offset, bytes);
  }

  absl::Status SyncData() override {
    MutexLock lock(&disk_->mu_);
    if (absl::Status alive = disk_->CheckAlive(life_); !alive.ok()) return alive;
    ++disk_->syncs_;
    if (absl::Status on = disk_->Change(); !on.ok()) return on;
    if (disk_->fail_sync_in_ > 0 && --disk_->fail_sync_in_ == 0) {
      node_->dirty.clear();
      return IoError("simulated sync error");
    }
    if (node_->platter.size() != node_->cache.size())
      node_->platter.resize(node_->cache.size(), '\0');
    for (const uint64_t sector : node_->dirty) disk_->CopySector(node_.get(), sector);
    node_->dirty.clear();
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t n, char* out) const override {
    MutexLock lock(&disk_->mu_);
    if (absl::Status alive = disk_->CheckAlive(life_); !alive.ok()) return alive;
    if (offset >= node_->cache.size()) return size_t{0};
    const size_t got = std::min<size_t>(n, node_->cache.size() - offset);
    memcpy(out, node_->cache.data() + offset, got);
    return got;
  }

  absl::StatusOr<uint64_t> Size() const override {
    MutexLock lock(&disk_->mu_);
    if (absl::Status alive = disk_->CheckAlive(life_); !alive.ok()) return alive;
    return node_->cache.size();
  }

  absl::Status Allocate(uint64_t bytes) override {
    MutexLock lock(&disk_->mu_);
    if (absl::Status alive = disk_->CheckAlive(life_); !alive.ok()) return alive;
    if (absl::Status on = disk_->Change(); !on.ok()) return on;
    return disk_->Resize(node_.get(), bytes);
  }

 private:
  FaultFileSystem* const disk_;
  const std::shared_ptr<Node> node_;
  const uint64_t life_;
};

class FaultFileSystem::HeldLock : public FileLock {
 public:
  HeldLock(FaultFileSystem* disk, std::string path, uint64_t life)
      : disk_(disk), path_(std::move(path)), life_(life) {}
  ~HeldLock() override {
    MutexLock lock(&disk_->mu_);
    if (disk_->life_ == life_) disk_->locks_.erase(path_);
  }

 private:
  FaultFileSystem* const disk_;
  const std::string path_;
  const uint64_t life_;
};

FaultFileSystem::FaultFileSystem(FaultOptions options)
    : rng_(options.seed), disk_bytes_(options.disk_bytes) {}
FaultFileSystem::~FaultFileSystem() = default;

absl::Status FaultFileSystem::CheckAlive(uint64_t life) const {
  if (power_off_ || life != life_) return IoError("the simulated process is dead");
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Change() {
  if (power_off_) return IoError("the simulated power is off");
  if (cut_in_ > 0 && --cut_in_ == 0) {
    CutLocked();
    power_off_ = true;
    return IoError("the simulated power fails");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<FaultFileSystem::Node>> FaultFileSystem::Find(
    absl::string_view path) const {
  const auto it = names_.find(std::string(path));
  if (it == names_.end()) return Missing(path);
  return it->second;
}

uint64_t FaultFileSystem::UsedBytes() const {
  uint64_t bytes = 0;
  std::set<const Node*> seen;
  for (const auto& [name, node] : names_) {
    if (seen.insert(node.get()).second) bytes += node->cache.size();
  }
  return bytes;
}

absl::Status FaultFileSystem::Resize(Node* node, uint64_t bytes) {
  if (bytes <= node->cache.size()) return absl::OkStatus();
  if (UsedBytes() + bytes - node->cache.size() > disk_bytes_) return FullError();
  node->cache.resize(bytes, '\0');
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Write(Node* node, uint64_t offset, absl::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();
  if (absl::Status sized = Resize(node, offset + bytes.size()); !sized.ok()) return sized;
  memcpy(node->cache.data() + offset, bytes.data(), bytes.size());
  for (uint64_t s = offset / kSectorBytes; s <= (offset + bytes.size() - 1) / kSectorBytes; ++s)
    node->dirty.insert(s);
  return absl::OkStatus();
}

void FaultFileSystem::CopySector(Node* node, uint64_t sector) {
  const size_t begin = sector * kSectorBytes;
  const size_t end = std::min(begin + kSectorBytes, node->cache.size());
  if (begin >= end) return;
  if (node->platter.size() < end) node->platter.resize(end, '\0');
  memcpy(node->platter.data() + begin, node->cache.data() + begin, end - begin);
}

void FaultFileSystem::RenameEverywhere(std::function<void(Names*)> change) {
  change(&names_);
  unsynced_names_.push_back(std::move(change));
}

absl::StatusOr<std::unique_ptr<File>> FaultFileSystem::Open(absl::string_view path, OpenMode mode) {
  MutexLock lock(&mu_);
  if (power_off_) return IoError("the simulated power is off");
  const std::string name(path);
  if (mode == OpenMode::kCreate) {
    if (absl::Status on = Change(); !on.ok()) return on;
    // A node of its own, even where a file was truncated: its old content may come back, and that
    // is worse.
    auto created = std::make_shared<Node>();
    RenameEverywhere([name, created](Names* names) { (*names)[name] = created; });
  }
  auto node = Find(path);
  if (!node.ok()) return node.status();
  return std::make_unique<OpenFile>(this, *node, life_);
}

absl::Status FaultFileSystem::Rename(absl::string_view from, absl::string_view to) {
  MutexLock lock(&mu_);
  if (absl::Status on = Change(); !on.ok()) return on;
  auto node = Find(from);
  if (!node.ok()) return node.status();
  RenameEverywhere(
      [old_name = std::string(from), new_name = std::string(to), moved = *node](Names* names) {
        names->erase(old_name);
        (*names)[new_name] = moved;
      });
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Link(absl::string_view from, absl::string_view to) {
  MutexLock lock(&mu_);
  if (absl::Status on = Change(); !on.ok()) return on;
  auto node = Find(from);
  if (!node.ok()) return node.status();
  if (names_.count(std::string(to)) > 0) return IoError(absl::StrCat(to, " exists"));
  RenameEverywhere(
      [name = std::string(to), linked = *node](Names* names) { (*names)[name] = linked; });
  return absl::OkStatus();
}

absl::Status FaultFileSystem::Unlink(absl::string_view path) {
  MutexLock lock(&mu_);
  if (absl::Status on = Change(); !on.ok()) return on;
  auto node = Find(path);
  if (!node.ok()) return node.status();
  RenameEverywhere([name = std::string(path)](Names* names) { names->erase(name); });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FaultFileSystem::List(absl::string_view dir) {
  MutexLock lock(&mu_);
  if (power_off_) return IoError("the simulated power is off");
  std::vector<std::string> names;
  const std::string prefix = absl::StrCat(dir, "/");
  for (const auto& [name, node] : names_) {
    if (absl::StartsWith(name, prefix)) names.push_back(name.substr(prefix.size()));
  }
  return names;
}

absl::Status FaultFileSystem::CreateDir(absl::string_view) {
  MutexLock lock(&mu_);
  if (power_off_) return IoError("the simulated power is off");
  return absl::OkStatus();
}

absl::Status FaultFileSystem::SyncDir(absl::string_view) {
  MutexLock lock(&mu_);
  if (absl::Status on = Change(); !on.ok()) return on;
  platter_names_ = names_;
  unsynced_names_.clear();
  return absl::OkStatus();
}

absl::StatusOr<DiskSpace> FaultFileSystem::Space(absl::string_view) {
  MutexLock lock(&mu_);
  const uint64_t used = UsedBytes();
  return DiskSpace{disk_bytes_ > used ? disk_bytes_ - used : 0, disk_bytes_};
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultFileSystem::Lock(absl::string_view path) {
  MutexLock lock(&mu_);
  if (power_off_) return IoError("the simulated power is off");
  if (!locks_.insert(std::string(path)).second) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "LOCKED",
                     absl::StrCat(path, " is held by the simulated process"));
  }
  return std::make_unique<HeldLock>(this, std::string(path), life_);
}

void FaultFileSystem::Crash() {
  MutexLock lock(&mu_);
  ++life_;
  locks_.clear();
}

void FaultFileSystem::PowerCut() {
  MutexLock lock(&mu_);
  CutLocked();
}

void FaultFileSystem::CutLocked() {
  ++life_;
  locks_.clear();
  const size_t survivors = rng_.Below(unsynced_names_.size() + 1);
  for (size_t i = 0; i < survivors; ++i) unsynced_names_[i](&platter_names_);
  // In the order of names, not of addresses: a seed must repeat.
  std::set<Node*> done;
  const double kept[] = {0, 0.5, 0.95, 1};
  const double chance = kept[rng_.Below(4)];
  for (const Names* names : {&names_, &platter_names_}) {
    for (const auto& [name, node] : *names) {
      if (!done.insert(node.get()).second) continue;
      for (const uint64_t sector : node->dirty) {
        if (rng_.Chance(chance)) CopySector(node.get(), sector);
      }
      node->dirty.clear();
      node->cache = node->platter;
    }
  }
  names_ = platter_names_;
  unsynced_names_.clear();
}

void FaultFileSystem::CutPowerAfter(uint64_t changes) {
  MutexLock lock(&mu_);
  cut_in_ = changes;
}

bool FaultFileSystem::power_is_off() const {
  MutexLock lock(&mu_);
  return power_off_;
}

void FaultFileSystem::Restart() {
  MutexLock lock(&mu_);
  power_off_ = false;
  cut_in_ = 0;
}

void FaultFileSystem::FailWrite(uint64_t nth) {
  MutexLock lock(&mu_);
  fail_write_in_ = nth;
}

void FaultFileSystem::FailSync(uint64_t nth) {
  MutexLock lock(&mu_);
  fail_sync_in_ = nth;
}

void FaultFileSystem::SetWritesFull(bool full) {
  MutexLock lock(&mu_);
  writes_full_ = full;
}

void FaultFileSystem::SetDiskBytes(uint64_t bytes) {
  MutexLock lock(&mu_);
  disk_bytes_ = bytes;
}

std::string FaultFileSystem::Content(absl::string_view path) const {
  MutexLock lock(&mu_);
  const auto node = Find(path);
  return node.ok() ? (*node)->cache : "";
}

void FaultFileSystem::SetContent(absl::string_view path, absl::string_view bytes) {
  MutexLock lock(&mu_);
  auto node = std::make_shared<Node>();
  node->cache = node->platter = std::string(bytes);
  names_[std::string(path)] = platter_names_[std::string(path)] = node;
}

void FaultFileSystem::Flip(absl::string_view path, uint64_t offset, uint8_t mask) {
  MutexLock lock(&mu_);
  const auto node = Find(path);
  if (!node.ok()) return;
  for (std::string* layer : {&(*node)->cache, &(*node)->platter}) {
    if (offset < layer->size())
      (*layer)[offset] = static_cast<char>(static_cast<uint8_t>((*layer)[offset]) ^ mask);
  }
}

std::vector<std::string> FaultFileSystem::Paths() const {
  MutexLock lock(&mu_);
  std::vector<std::string> paths;
  for (const auto& [name, node] : names_) paths.push_back(name);
  return paths;
}

void FaultFileSystem::CopyFrom(const FaultFileSystem& other) {
  std::map<std::string, std::string> contents;
  for (const std::string& path : other.Paths()) contents[path] = other.Content(path);
  MutexLock lock(&mu_);
  ++life_;
  locks_.clear();
  names_.clear();
  unsynced_names_.clear();
  for (auto& [path, bytes] : contents) {
    auto node = std::make_shared<Node>();
    node->platter = bytes;
    node->cache = std::move(bytes);
    names_[path] = node;
  }
  platter_names_ = names_;
}

uint64_t FaultFileSystem::writes() const {
  MutexLock lock(&mu_);
  return writes_;
}

uint64_t FaultFileSystem::syncs() const {
  MutexLock lock(&mu_);
  return syncs_;
}

}  // namespace wheelpit
