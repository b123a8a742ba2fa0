#include <levin/framework/data/training_data.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/data/batch_source.h>

namespace levin {
namespace {

/// The rows that an epoch of a loader of known length has.
int64_t epoch_rows(const DataLoader& loader) {
  const auto& sampler = loader.options().sampler;
  return sampler ? sampler->size() : loader.dataset().size().value();
}

/// A rank's number of rows of a batch of `rows` rows over all ranks, which begins at position
/// `first` of the epoch.
int64_t rows_of_rank(int64_t first, int64_t rows, RankShare rank) {
  const int64_t offset = share_offset(first, rank);
  return offset < rows ? (rows - offset + rank.world_size - 1) / rank.world_size : 0;
}

}  // namespace

TrainingData::TrainingData(const DataLoaders& loaders, RankShare rank_share,
                           std::optional<int64_t> limit)
    : mode_(loaders.mode()), world_size_(rank_share.world_size), limit_(limit) {
  for (const auto& loader : loaders) {
    if (!readers_.empty() && !readers_.back().size()) {
      throw ConfigError::conflict(
          "several training loaders, of which one before the last is of unknown length",
          "put it last: a position in the epoch is found by the lengths of the loaders before it");
    }
    readers_.push_back(loader.open(0, 0, rank_share));
    rows_a_step_.push_back(loader.rows_a_step(rank_share));
  }
  if (mode_ != LoaderMode::sequential) add_parts(loaders, rank_share);
}

void TrainingData::add_parts(const DataLoaders& loaders, RankShare rank_share) {
  const int64_t length = size(loaders, rank_share).value();
  limit_ = std::min(length, limit_.value_or(length));
  for (size_t i = 0; i < loaders.size(); ++i) {
    const int64_t size = readers_[i].size().value();
    if (size == 0 && length > 0) {
      throw DataError::empty("the loader " + loaders.names()[i],
                             "it has no full batch, and drop_last = true leaves out a batch that "
                             "isn't full; lower its "
                             "batch_size, or set drop_last = false");
    }
    const int64_t passes = size > 0 ? (length + size - 1) / size : 1;
    parts_.push_back({.prefix = loaders.names()[i] + "/",
                      .size = size,
                      .passes = passes,
                      .rows = epoch_rows(loaders[i])});
    if (world_size_ == 1 || i == 0) continue;
    parts_.back().whole = loaders[i].with_global_batch_size(rows_a_step_[i]).open();
  }
}

void TrainingData::leave_rows_in_place(bool in_place) {
  for (auto& reader : readers_) reader.leave_rows_in_place(in_place);
  for (auto& part : parts_) {
    if (part.whole) part.whole->leave_rows_in_place(in_place);
  }
}

bool TrainingData::reside(at::Device device, size_t most_bytes) {
  bool all = true;
  for (auto& reader : readers_) all = reader.reside(device, most_bytes) && all;
  for (auto& part : parts_) {
    if (part.whole) all = part.whole->reside(device, most_bytes) && all;
  }
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
  if (!parts_.empty()) {
    for (size_t i = 0; i < parts_.size(); ++i) {
      seek_part(parts_[i], readers_[i]);
      if (parts_[i].whole) seek_part(parts_[i], *parts_[i].whole);
    }
    return;
  }
  int64_t left = position;
  for (current_ = 0; current_ + 1 < readers_.size(); ++current_) {
    const int64_t size = readers_[current_].size().value();  // only the last may have none
    if (left < size) break;
    left -= size;
  }
  readers_[current_].seek(epoch, left);
}

/// Whether a part has no batch at this position of the epoch.
bool TrainingData::has_ended(const Part& part) const {
  return mode_ == LoaderMode::max_size && position_ >= part.size;
}

/// Goes to the batch of a part at this position. Each pass over a loader that begins again has an
/// order of its own: it is an epoch to the loader.
void TrainingData::seek_part(const Part& part, Reader& reader) const {
  if (part.size == 0 || has_ended(part)) return;
  const bool begins_again = mode_ == LoaderMode::max_size_cycle;
  const int64_t pass = begins_again ? position_ / part.size : 0;
  const int64_t epoch = begins_again ? epoch_ * part.passes + pass : epoch_;
  reader.seek(epoch, std::min(position_ - pass * part.size, part.size));
}

/// Whether each rank has the same share of the rows of both parts in this step.
bool TrainingData::are_shared_alike(size_t one, size_t other) const {
  const auto first_of = [this](size_t i) { return position_ % parts_[i].size * rows_a_step_[i]; };
  const auto rows_of = [&](size_t i) {
    return std::min(rows_a_step_[i], parts_[i].rows - first_of(i));
  };
  for (int64_t rank = 0; rank < world_size_; ++rank) {
    const RankShare share{.rank = rank, .world_size = world_size_};
    const int64_t own = rows_of_rank(first_of(one), rows_of(one), share);
    const int64_t others = rows_of_rank(first_of(other), rows_of(other), share);
    if (own * rows_of(other) != others * rows_of(one)) return false;
  }
  return true;
}

void TrainingData::read_parts(Batch& batch) {
  batch = Batch();  // gives back the tensors of the parts
  std::optional<size_t> first;
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    if (has_ended(part)) continue;
    if (!first) first = i;
    Reader& reader = part.whole && !are_shared_alike(*first, i) ? *part.whole : readers_[i];
    seek_part(part, reader);
    reader.next(part.batch);
    for (const auto& [name, rows] : part.batch.entries()) {
      batch.entries().emplace_back(part.prefix + name, rows);
    }
    if (i == *first) {
      current_ = i;
      batch.row_ids() = part.batch.row_ids();
    }
  }
}

bool TrainingData::next(Batch& batch) {
  if (limit_ && position_ >= *limit_) return false;
  if (!parts_.empty()) {
    try {
      read_parts(batch);
    } catch (...) {
      seek(epoch_, position_);  // the next call reads all parts of this batch again
      throw;
    }
    ++position_;
    return true;
  }
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
  if (!parts_.empty()) return false;
  if (!readers_[current_].at_end()) return false;
  for (size_t i = current_ + 1; i < readers_.size(); ++i) {
    if (readers_[i].size() != 0) return false;
  }
  return true;
}

std::optional<int64_t> TrainingData::size(const DataLoaders& loaders, RankShare rank_share) {
  const LoaderMode mode = loaders.mode();
  int64_t total = 0;
  bool is_first = true;
  for (const auto& loader : loaders) {
    const auto size = loader.size(rank_share);
    if (!size) return {};
    if (std::exchange(is_first, false)) {
      total = *size;
    } else if (mode == LoaderMode::sequential) {
      total += *size;
    } else {
      total = mode == LoaderMode::min_size ? std::min(total, *size) : std::max(total, *size);
    }
  }
  return total;
}

}  // namespace levin
