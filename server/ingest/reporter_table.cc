#include "server/ingest/reporter_table.h"

#include <algorithm>

namespace wheelpit {

void ContentHistory::Set(uint64_t seq, uint32_t crc) {
  const size_t i = seq % kKept;
  // Most reporters send few batches before they leave: grow as needed.
  if (crcs_.size() <= i) crcs_.resize(i + 1);
  crcs_[i] = {seq, crc};
}

bool ContentHistory::Matches(uint64_t seq, uint32_t crc) const {
  const size_t i = seq % kKept;
  return i >= crcs_.size() || crcs_[i].first != seq || crcs_[i].second == crc;
}

Reporter* ReporterTable::Find(absl::string_view id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

Reporter* ReporterTable::Find(ReporterNumber number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : it->second.get();
}

Reporter& ReporterTable::Add(absl::string_view id) { return Restore(next_number_, id); }

Reporter& ReporterTable::Restore(ReporterNumber number, absl::string_view id) {
  auto& slot = by_number_[number];
  if (slot == nullptr) {
    slot = std::make_unique<Reporter>();
    slot->number = number;
    slot->id = std::string(id);
    // Numbers rise: replay may come to one that the checkpoint knows as followed by another.
    Reporter*& current = by_id_[slot->id];
    if (current == nullptr || current->number < number) current = slot.get();
    RaiseNextNumber(number + 1);
  }
  return *slot;
}

void ReporterTable::Detach(Reporter* reporter) {
  const auto it = by_id_.find(reporter->id);
  if (it != by_id_.end() && it->second == reporter) by_id_.erase(it);
}

void ReporterTable::Remove(ReporterNumber number) {
  const auto it = by_number_.find(number);
  if (it == by_number_.end()) return;
  Detach(it->second.get());
  by_number_.erase(it);
}

void ReporterTable::Clear() {
  by_id_.clear();
  by_number_.clear();
}

void ReporterTable::RaiseNextNumber(ReporterNumber at_least) { next_number_ = std::max(next_number_, at_least); }

}  // namespace wheelpit
