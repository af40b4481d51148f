// A disk in memory that behaves as badly as real ones may: the file layer of the journal for
// simulations.
//
//   FaultFileSystem disk({.seed = 7});
//   … run the journal on &disk …
//   disk.PowerCut();            // what was not synced is lost, torn in 512-byte sectors, or kept,
//   as the seed decides … open the journal again …
//
// Two layers: what the system would show (cache) and what is on the platter. SyncData and SyncDir
// move one to the other. After PowerCut, Crash or CutPowerAfter has struck, files and locks opened
// before are dead: every call fails and changes nothing. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/sync.h"
#include "server/journal_log/file.h"

namespace wheelpit {

struct FaultOptions {
  uint64_t seed = 0;
  uint64_t disk_bytes = 1ULL << 40;
};

class FaultFileSystem : public FileSystem {
 public:
  static constexpr size_t kSectorBytes = 512;

  explicit FaultFileSystem(FaultOptions options);
  ~FaultFileSystem() override;

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path, OpenMode mode) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Link(absl::string_view from, absl::string_view to) override;
  absl::Status Unlink(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> List(absl::string_view dir) override;
  absl::Status CreateDir(absl::string_view dir) override;
  absl::Status SyncDir(absl::string_view dir) override;
  absl::StatusOr<DiskSpace> Space(absl::string_view dir) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override;

  // The process dies (kill -9): handles and locks are gone, the cache stays.
  void Crash();
  // The machine dies: of everything unsynced each sector survives or not; of unsynced names a
  // prefix of the changes survives.
  void PowerCut();
  // The power fails by itself at the n-th change (write, sync, name) from now; n = 1 is the next,
  // which is not done.
  void CutPowerAfter(uint64_t changes);
  // True once it has struck; Restart() makes the disk usable again.
  bool power_is_off() const;
  void Restart();

  // The n-th write (sync) of a file from now fails with an I/O error; a failed write may have
  // written a part, and a failed sync has dropped what it should have made safe, though the cache
  // still shows it. 0 = none.
  void FailWrite(uint64_t nth);
  void FailSync(uint64_t nth);
  // Every write finds the disk full, even into blocks that are claimed.
  void SetWritesFull(bool full);
  void SetDiskBytes(uint64_t bytes);

  // Damage and inspection, on both layers.
  std::string Content(absl::string_view path) const;
  void SetContent(absl::string_view path, absl::string_view bytes);
  // Flips the bits of `mask`.
  void Flip(absl::string_view path, uint64_t offset, uint8_t mask);
  // Full paths, sorted.
  std::vector<std::string> Paths() const;
  // Becomes an identical disk, with everything synced and no handle open.
  void CopyFrom(const FaultFileSystem& other);
  uint64_t writes() const;
  uint64_t syncs() const;

 private:
  struct Node {
    std::string cache;
    std::string platter;
    std::set<uint64_t> dirty;  // sectors
  };
  using Names = std::map<std::string, std::shared_ptr<Node>>;
  class OpenFile;
  class HeldLock;

  // Counts a change; an error when the power is off, or goes off now.
  absl::Status Change() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckAlive(uint64_t life) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CutLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RenameEverywhere(std::function<void(Names*)> change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Resize(Node* node, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Write(Node* node, uint64_t offset, absl::string_view bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // From the cache to the platter.
  void CopySector(Node* node, uint64_t sector) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t UsedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::shared_ptr<Node>> Find(absl::string_view path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  Rng rng_ ABSL_GUARDED_BY(mu_);
  uint64_t disk_bytes_ ABSL_GUARDED_BY(mu_);
  Names names_ ABSL_GUARDED_BY(mu_);
  Names platter_names_ ABSL_GUARDED_BY(mu_);
  std::vector<std::function<void(Names*)>> unsynced_names_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> locks_ ABSL_GUARDED_BY(mu_);
  uint64_t life_ ABSL_GUARDED_BY(mu_) = 1;  // handles of an earlier life are dead
  bool power_off_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t cut_in_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t fail_write_in_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t fail_sync_in_ ABSL_GUARDED_BY(mu_) = 0;
  bool writes_full_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t writes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t syncs_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace wheelpit
