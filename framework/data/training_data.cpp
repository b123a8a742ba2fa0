#include <levin/framework/data/training_data.h>

#include <algorithm>

#include <levin/framework/core/error.h>

namespace levin {

TrainingData::TrainingData(const DataLoaders& loaders, RankShare rank_share,
                           std::optional<int64_t> limit)
    : limit_(limit) {
  for (const auto& loader : loaders) {
    if (!readers_.empty() && !readers_.back().size()) {
      throw ConfigError::conflict(
          "several training loaders, of which one before the last is of unknown length",
          "put it last: a position in the epoch is found by the lengths of the loaders before it");
    }
    readers_.push_back(loader.open(0, 0, rank_share));
    rows_a_step_.push_back(loader.rows_a_step(rank_share));
  }
}

void TrainingData::leave_rows_in_place(bool in_place) {
  for (auto& reader : readers_) reader.leave_rows_in_place(in_place);
}

bool TrainingData::reside(at::Device device, size_t most_bytes) {
  bool all = true;
  for (auto& reader : readers_) all = reader.reside(device, most_bytes) && all;
  return all;
}

int64_t TrainingData::full_batches_left() const {
  const int64_t left = readers_[0].full_batches_left();
  return limit_ ? std::min(left, *limit_ - position_) : left;
}

bool TrainingData::next_recorded() {
  if (full_batches_left() == 0 || !readers_[0].next_recorded()) return false;
  ++position_;
  return true;
}

void TrainingData::seek(int64_t epoch, int64_t position) {
  epoch_ = epoch;
  position_ = position;
  int64_t left = position;
  for (current_ = 0; current_ + 1 < readers_.size(); ++current_) {
    const int64_t size = readers_[current_].size().value();  // only the last may have none
    if (left < size) break;
    left -= size;
  }
  readers_[current_].seek(epoch, left);
}

bool TrainingData::next(Batch& batch) {
  if (limit_ && position_ >= *limit_) return false;
  while (!readers_[current_].next(batch)) {
    if (current_ + 1 == readers_.size()) return false;
    readers_[++current_].seek(epoch_);
  }
  batch.set_loader_index(static_cast<int64_t>(current_));
  ++position_;
  return true;
}

bool TrainingData::at_end() {
  if (limit_ && position_ >= *limit_) return true;
  if (!readers_[current_].at_end()) return false;
  for (size_t i = current_ + 1; i < readers_.size(); ++i) {
    if (readers_[i].size() != 0) return false;
  }
  return true;
}

std::optional<int64_t> TrainingData::size(const DataLoaders& loaders, RankShare rank_share) {
  int64_t total = 0;
  for (const auto& loader : loaders) {
    const auto size = loader.size(rank_share);
    if (!size) return {};
    total += *size;
  }
  return total;
}

}  // namespace levin
