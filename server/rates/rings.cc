#include "server/rates/rings.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/varint.h"

namespace wheelpit {
namespace {

constexpr std::array<int64_t, 3> kSlotSeconds = {1, 10, 60};
constexpr int64_t kSlotsPerRing = 64;
constexpr int64_t kOldestSeconds = kSlotsPerRing * 60;
constexpr int64_t kWindowMaxSeconds = 3600;
constexpr int64_t kReadySeconds = 30;

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
int64_t RoundDown(int64_t a, int64_t b) { return FloorDiv(a, b) * b; }
int64_t RoundUp(int64_t a, int64_t b) { return -RoundDown(-a, b); }
uint32_t SlotIndex(int64_t k) { return static_cast<uint32_t>(static_cast<uint64_t>(k) % kSlotsPerRing); }

}  // namespace

Window WindowAt(int64_t now_ms, int64_t window_ms) {
  const int64_t seconds =
      std::clamp<int64_t>(FloorDiv(window_ms, 1000) + (window_ms % 1000 != 0 ? 1 : 0), 1, kWindowMaxSeconds);
  const int64_t end = FloorDiv(now_ms, 1000);
  const int64_t start = end - seconds;
  if (seconds <= 60) return {start, end};
  return {RoundDown(start, seconds <= 600 ? 10 : 60), end};
}

Coverage CoverageOf(Window window, int64_t history_start_ms) {
  const double length = static_cast<double>(window.end_s - window.start_s);
  const double known = static_cast<double>(window.end_s) - static_cast<double>(history_start_ms) / 1000;
  Coverage c;
  c.covered_s = std::clamp(known, 0.0, length);
  c.share = length > 0 ? c.covered_s / length : 0;
  c.ready = length > 0 && c.covered_s >= std::min(length, static_cast<double>(kReadySeconds));
  return c;
}

RingTime::RingTime(int64_t event_ms, int64_t interval_ms, int64_t now_ms) : now_s_(FloorDiv(now_ms, 1000)) {
  event_ms = std::min(event_ms, now_ms);
  second_ = FloorDiv(event_ms, 1000);
  if (interval_ms <= 1000) return;
  int64_t begin_ms = event_ms - interval_ms;
  const int64_t oldest_ms = (now_s_ - kOldestSeconds) * 1000;
  total_ms_ = interval_ms;
  if (begin_ms < oldest_ms) {
    const int64_t old_end = std::min(oldest_ms, event_ms);
    parts_.push_back({kTooOld, 1, old_end - begin_ms});
    begin_ms = old_end;
  }
  if (begin_ms == event_ms) return;
  const int64_t first = FloorDiv(begin_ms, 1000);
  const int64_t last = FloorDiv(event_ms - 1, 1000);
  if (first == last) {
    parts_.push_back({first, 1, event_ms - begin_ms});
    return;
  }
  parts_.push_back({first, 1, (first + 1) * 1000 - begin_ms});
  if (last > first + 1) parts_.push_back({first + 1, last - first - 1, 1000});
  parts_.push_back({last, 1, event_ms - last * 1000});
}

Rings::Rings() = default;
Rings::~Rings() = default;

void Rings::MoveTo(int64_t second) {
  if (newest_s_ == kNever) {
    newest_s_ = second;
    return;
  }
  if (second <= newest_s_) return;
  Spill();
  for (size_t r = 0; r < kRings; ++r) {
    const int64_t from = FloorDiv(newest_s_, kSlotSeconds[r]);
    const int64_t to = FloorDiv(second, kSlotSeconds[r]);
    for (int64_t k = std::max(from + 1, to - kSlots + 1); k <= to; ++k) {
      if (wide_ == nullptr) {
        narrow_[r][SlotIndex(k)] = 0;
      } else {
        std::visit([&](auto& slots) { slots[r][SlotIndex(k)] = 0; }, *wide_);
      }
    }
  }
  newest_s_ = second;
}

void Rings::Spill() {
  if (newest_count_ != 0) AddToSlots(newest_s_, std::exchange(newest_count_, 0));
}

void Rings::WidenToIntegral() {
  if (wide_ != nullptr) return;
  wide_ = std::make_unique<Wide>(Slots<uint64_t>{});
  auto& slots = std::get<Slots<uint64_t>>(*wide_);
  for (size_t r = 0; r < kRings; ++r) std::copy(narrow_[r], narrow_[r] + kSlots, slots[r].begin());
}

void Rings::WidenToDouble() {
  if (has_fractions()) return;
  auto wider = std::make_unique<Wide>(Slots<double>{});
  auto& slots = std::get<Slots<double>>(*wider);
  for (size_t r = 0; r < kRings; ++r) {
    for (size_t i = 0; i < kSlots; ++i) {
      slots[r][i] = wide_ == nullptr ? static_cast<double>(narrow_[r][i])
                                     : static_cast<double>(std::get<Slots<uint64_t>>(*wide_)[r][i]);
    }
  }
  wide_ = std::move(wider);
}

bool Rings::has_fractions() const { return wide_ != nullptr && std::holds_alternative<Slots<double>>(*wide_); }

bool Rings::AddAt(int64_t second, uint64_t delta, int64_t now_s) {
  if (FloorDiv(second, kSlotSeconds[2]) <= FloorDiv(now_s, kSlotSeconds[2]) - kSlots) return false;
  MoveTo(second);
  Spill();
  AddToSlots(second, delta);
  return true;
}

void Rings::AddToSlots(int64_t second, uint64_t delta) {
  for (size_t r = 0; r < kRings; ++r) {
    const int64_t k = FloorDiv(second, kSlotSeconds[r]);
    if (k <= FloorDiv(newest_s_, kSlotSeconds[r]) - kSlots) continue;
    const uint32_t i = SlotIndex(k);
    if (wide_ == nullptr) {
      const uint64_t sum = narrow_[r][i] + delta;
      if (sum >= delta && sum <= UINT32_MAX) {
        narrow_[r][i] = static_cast<uint32_t>(sum);
        continue;
      }
      WidenToIntegral();
    }
    if (auto* integral = std::get_if<Slots<uint64_t>>(wide_.get())) {
      if (!__builtin_add_overflow((*integral)[r][i], delta, &(*integral)[r][i])) continue;
      // The slot wrapped: undo, then go on in double.
      (*integral)[r][i] -= delta;
      WidenToDouble();
    }
    std::get<Slots<double>>(*wide_)[r][i] += static_cast<double>(delta);
  }
}

bool Rings::AddFractionAt(int64_t second, double delta, int64_t now_s) {
  if (FloorDiv(second, kSlotSeconds[2]) <= FloorDiv(now_s, kSlotSeconds[2]) - kSlots) return false;
  MoveTo(second);
  Spill();
  WidenToDouble();
  auto& slots = std::get<Slots<double>>(*wide_);
  for (size_t r = 0; r < kRings; ++r) {
    const int64_t k = FloorDiv(second, kSlotSeconds[r]);
    if (k > FloorDiv(newest_s_, kSlotSeconds[r]) - kSlots) slots[r][SlotIndex(k)] += delta;
  }
  return true;
}

uint64_t Rings::AddSlow(uint64_t delta, const RingTime& time) {
  if (delta == 0) return 0;
  if (time.total_ms_ == 0) return AddAt(time.second_, delta, time.now_s_) ? 0 : delta;
  // Largest remainder: each part has floor(delta * weight / total) per second; what is left goes, one each, to the seconds with
  // the largest remainders. Seconds of one part have equal remainders, so only parts need sorting.
  struct Share {
    const RingTime::Part* part;
    uint64_t each;
    uint64_t remainder;
    int64_t extra;  // the first so many seconds of the part get one more
  };
  absl::InlinedVector<Share, 4> shares;
  uint64_t left = delta;
  const auto total = static_cast<uint64_t>(time.total_ms_);
  for (const auto& part : time.parts_) {
    const auto scaled = static_cast<unsigned __int128>(delta) * static_cast<uint64_t>(part.weight_ms);
    const auto each = static_cast<uint64_t>(scaled / total);
    shares.push_back({&part, each, static_cast<uint64_t>(scaled % total), 0});
    left -= each * static_cast<uint64_t>(part.seconds);
  }
  absl::InlinedVector<size_t, 4> order;
  for (size_t i = 0; i < shares.size(); ++i) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return shares[a].remainder > shares[b].remainder; });
  for (const size_t i : order) {
    const auto taken = std::min(left, static_cast<uint64_t>(shares[i].part->seconds));
    shares[i].extra = static_cast<int64_t>(taken);
    left -= taken;
  }
  uint64_t late = 0;
  for (const Share& share : shares) {
    const int64_t seconds = share.each == 0 ? share.extra : share.part->seconds;
    for (int64_t i = 0; i < seconds; ++i) {
      const uint64_t d = share.each + (i < share.extra ? 1 : 0);
      if (share.part->first_s == RingTime::kTooOld || !AddAt(share.part->first_s + i, d, time.now_s_)) late += d;
    }
  }
  return late;
}

double Rings::AddFraction(double delta, const RingTime& time) {
  if (delta == 0) return 0;
  if (time.total_ms_ == 0) return AddFractionAt(time.second_, delta, time.now_s_) ? 0 : delta;
  double late = 0;
  for (const auto& part : time.parts_) {
    const double each = delta * static_cast<double>(part.weight_ms) / static_cast<double>(time.total_ms_);
    for (int64_t i = 0; i < part.seconds; ++i) {
      if (part.first_s == RingTime::kTooOld || !AddFractionAt(part.first_s + i, each, time.now_s_)) late += each;
    }
  }
  return late;
}

template <typename T>
T Rings::Slot(size_t ring, int64_t k) const {
  const uint32_t i = SlotIndex(k);
  if (wide_ != nullptr) return std::visit([&](const auto& slots) { return static_cast<T>(slots[ring][i]); }, *wide_);
  const uint64_t apart = k == FloorDiv(newest_s_, kSlotSeconds[ring]) ? newest_count_ : 0;
  return static_cast<T>(narrow_[ring][i] + apart);
}

template <typename T>
T Rings::SumRange(size_t ring, int64_t from_s, int64_t to_s) const {
  const int64_t newest = FloorDiv(newest_s_, kSlotSeconds[ring]);
  const int64_t from = std::max(FloorDiv(from_s, kSlotSeconds[ring]), newest - kSlots + 1);
  const int64_t to = std::min(FloorDiv(to_s, kSlotSeconds[ring]), newest + 1);
  T sum = 0;
  for (int64_t k = from; k < to; ++k) {
    const uint32_t i = SlotIndex(k);
    if (wide_ == nullptr) {
      sum += static_cast<T>(narrow_[ring][i]);
    } else {
      sum += std::visit([&](const auto& slots) { return static_cast<T>(slots[ring][i]); }, *wide_);
    }
  }
  if (from <= newest && newest < to) sum += static_cast<T>(newest_count_);
  return sum;
}

template <typename T>
T Rings::SumWindow(Window window) const {
  if (newest_s_ == kNever) return 0;
  const int64_t s = window.start_s, e = window.end_s;
  if (e - s <= 60) return SumRange<T>(0, s, e);
  // WindowAt rounds the start down by less than 10 s (resp. 60 s), and only windows beyond 600 s start on a whole minute alone.
  const int64_t b = RoundUp(e - 60, 10);
  if (e - s < 610) return SumRange<T>(1, s, b) + SumRange<T>(0, b, e);
  const int64_t c = RoundUp(e - 600, 60);
  return SumRange<T>(2, s, c) + SumRange<T>(1, c, b) + SumRange<T>(0, b, e);
}

uint64_t Rings::IncreaseOver(Window window) const {
  if (!has_fractions()) return SumWindow<uint64_t>(window);
  return static_cast<uint64_t>(SumWindow<double>(window));
}

double Rings::IncreaseOverAsDouble(Window window) const {
  if (has_fractions()) return SumWindow<double>(window);
  return static_cast<double>(SumWindow<uint64_t>(window));
}

uint64_t Rings::Increase(int64_t now_ms, int64_t window_ms) const {
  return IncreaseOver(WindowAt(now_ms, window_ms));
}

double Rings::IncreaseAsDouble(int64_t now_ms, int64_t window_ms) const {
  return IncreaseOverAsDouble(WindowAt(now_ms, window_ms));
}

uint64_t Rings::Running(int64_t now_ms) const {
  if (has_fractions()) return static_cast<uint64_t>(RunningAsDouble(now_ms));
  if (newest_s_ == kNever) return 0;
  const int64_t second = FloorDiv(now_ms, 1000);
  return SumRange<uint64_t>(0, second, second + 1);
}

double Rings::RunningAsDouble(int64_t now_ms) const {
  if (newest_s_ == kNever) return 0;
  const int64_t second = FloorDiv(now_ms, 1000);
  return SumRange<double>(0, second, second + 1);
}

int64_t Rings::newest_s() const { return newest_s_; }

bool Rings::Expired(int64_t now_ms) const {
  return newest_s_ == kNever || FloorDiv(newest_s_, 60) <= FloorDiv(FloorDiv(now_ms, 1000), 60) - kSlots;
}

size_t Rings::bytes() const { return sizeof(*this) + (wide_ == nullptr ? 0 : sizeof(Wide)); }

// Layout: kind (0 empty, 1 integral, 2 double), newest second, then per ring 64 bits that say which slots are not zero, oldest
// first, and those slots.
void Rings::EncodeTo(std::string* out) const {
  if (newest_s_ == kNever) {
    PutVarint(0, out);
    return;
  }
  PutVarint(has_fractions() ? 2 : 1, out);
  PutSigned(newest_s_, out);
  for (size_t r = 0; r < kRings; ++r) {
    const int64_t newest = FloorDiv(newest_s_, kSlotSeconds[r]);
    uint64_t used = 0;
    for (int64_t j = 0; j < kSlots; ++j) {
      if (Slot<double>(r, newest - kSlots + 1 + j) != 0) used |= uint64_t{1} << j;
    }
    PutVarint(used, out);
    for (int64_t j = 0; j < kSlots; ++j) {
      if ((used >> j & 1) == 0) continue;
      const int64_t k = newest - kSlots + 1 + j;
      if (has_fractions()) {
        PutDouble(Slot<double>(r, k), out);
      } else {
        PutVarint(Slot<uint64_t>(r, k), out);
      }
    }
  }
}

bool Rings::Decode(absl::string_view* in, Rings* out) {
  uint64_t kind;
  if (!GetVarint(in, &kind) || kind > 2) return false;
  if (kind == 0) return true;
  int64_t newest;
  if (!GetSigned(in, &newest) || newest == kNever) return false;
  out->newest_s_ = newest;
  if (kind == 2) out->WidenToDouble();
  for (size_t r = 0; r < kRings; ++r) {
    const int64_t oldest = FloorDiv(newest, kSlotSeconds[r]) - kSlots + 1;
    uint64_t used;
    if (!GetVarint(in, &used)) return false;
    for (int64_t j = 0; j < kSlots; ++j) {
      if ((used >> j & 1) == 0) continue;
      const uint32_t i = SlotIndex(oldest + j);
      if (kind == 2) {
        if (!GetDouble(in, &std::get<Slots<double>>(*out->wide_)[r][i])) return false;
        continue;
      }
      uint64_t count;
      if (!GetVarint(in, &count)) return false;
      if (count > UINT32_MAX) out->WidenToIntegral();
      if (out->wide_ == nullptr) {
        out->narrow_[r][i] = static_cast<uint32_t>(count);
      } else {
        std::get<Slots<uint64_t>>(*out->wide_)[r][i] = count;
      }
    }
  }
  return true;
}

}  // namespace wheelpit
