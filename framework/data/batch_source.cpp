#include <levin/framework/data/batch_source.h>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <levin/framework/core/error.h>
#include <levin/framework/threads/one_thread.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace levin {
namespace {

// Sets LibTorch's switches for data sets and transforms, the same on every thread. No graph is
// recorded. No inference tensors are made, because training can't use them. LibTorch works on one
// thread, because the size of a team of threads would change the last bits of sums.
class PreparationGuard {
 public:
  PreparationGuard() {
    if (c10::InferenceMode::is_enabled()) normal_mode_.emplace(false);
    grad_mode_ = c10::GradMode::is_enabled();
    if (grad_mode_) c10::GradMode::set_enabled(false);
  }
  ~PreparationGuard() {
    if (grad_mode_) c10::GradMode::set_enabled(true);
  }
  PreparationGuard(const PreparationGuard&) = delete;
  PreparationGuard& operator=(const PreparationGuard&) = delete;

 private:
  OneThread one_thread_;
  bool grad_mode_;
  std::optional<c10::InferenceMode> normal_mode_;
};

// Replaces pinned buffers by new ones. The copy of an old buffer to the device may still be under
// way, and only LibTorch's allocator of pinned memory knows when it is finished, so an old buffer
// must not be written again here.
void make_pinned_buffers(Batch& batch) {
  for (auto& entry : batch.entries()) {
    if (entry.second.is_sparse()) {
      entry.second = Rows();
      continue;
    }
    const auto tensor = entry.second.tensor();
    if (tensor.defined() && tensor.is_cpu()) {
      entry.second = at::empty(tensor.sizes(), tensor.options().pinned_memory(true));
    }
  }
}

// Gives up tensors that somebody else still holds (a batch, a view of one, a graph), so that they
// aren't written again.
void drop_shared(Batch& batch) {
  for (auto& entry : batch.entries()) entry.second.drop_shared();
}

bool has_rows(const Rows& rows) { return rows.is_defined() && rows.source().dim() > 0; }

void drop_all_rows(Batch& batch) {
  for (auto& [name, rows] : batch.entries()) {
    if (has_rows(rows)) rows = rows.narrow(0, 0);
  }
  batch.row_ids().clear();
}

std::unique_ptr<Sampler> make_sampler(const Dataset& dataset, const DataLoaderOptions& options,
                                      uint64_t seed) {
  if (options.sampler) {
    auto sampler = options.sampler->clone();
    sampler->set_default_seed(seed);
    return sampler;
  }
  const auto size = dataset.size();
  if (!size) return nullptr;
  if (options.shuffle) return std::make_unique<RandomSampler>(*size, seed);
  return std::make_unique<SequentialSampler>(*size);
}

}  // namespace

int64_t share_offset(int64_t first, RankShare rank_share) {
  const int64_t world = rank_share.world_size;
  return (rank_share.rank - first % world + world) % world;
}

int64_t rows_a_step(const DataLoaderOptions& options, RankShare rank_share) {
  return options.global_batch_size > 0 ? options.global_batch_size
                                       : options.batch_size * rank_share.world_size;
}

std::optional<int64_t> num_loader_batches(const Dataset& dataset, const DataLoaderOptions& options,
                                          RankShare rank_share) {
  const std::optional<int64_t> rows = options.sampler ? options.sampler->size() : dataset.size();
  if (!rows) return std::nullopt;
  const int64_t step = rows_a_step(options, rank_share);
  return (options.drop_last ? *rows : *rows + step - 1) / step;
}

BatchSource::BatchSource(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
                         RankShare rank_share)
    : dataset_(std::move(dataset)),
      transform_(options.transform),
      size_(num_loader_batches(*dataset_, options, rank_share)),
      rank_share_(rank_share),
      seed_(options.seed.value_or(global_seed())),
      global_batch_size_(rows_a_step(options, rank_share)),
      drop_last_(options.drop_last),
      augment_(options.augment) {
  sampler_ = make_sampler(*dataset_, options, seed_);
  if (options.sampler) checked_rows_ = dataset_->size();
}

void BatchSource::set_epoch(int64_t epoch) {
  if (sampler_) sampler_->set_epoch(epoch);
  epoch_ = epoch;
}

void BatchSource::order(int64_t first, std::span<int64_t> numbers) const {
  sampler_->rows(first, numbers);
  if (checked_rows_) require_rows_in_range(numbers, *checked_rows_);
}

void BatchSource::make(int64_t index, Scratch& scratch, PreparedBatch& out) const noexcept {
  out.error = nullptr;
  out.last = false;
  try {
    const PreparationGuard guard;
    make_or_throw(index, scratch, out);
  } catch (...) {
    out.error = std::current_exception();
  }
}

void BatchSource::make_or_throw(int64_t index, Scratch& scratch, PreparedBatch& out) const {
  drop_shared(out.batch);
  if (pinned_) make_pinned_buffers(out.batch);
  out.batch.set_loader_index(0);
  sampler_ ? read_known(index, scratch, out) : read_stream(index, scratch, out);
  if (out.global_rows == 0) return;
  // A rank that has no row of a short global batch prepares the first row of that batch instead, so
  // that names, types and shapes are those of every other batch, and drops the row at the end.
  const bool none = scratch.positions.front() % rank_share_.world_size != rank_share_.rank;
  if (transform_)
    transform_(out.batch, TransformContext{seed_, epoch_, scratch.positions, augment_});
  if (none) drop_all_rows(out.batch);
  if (pinned_) out.batch = out.batch.pin_memory();
}

// Puts this rank's positions in a global batch of `count` rows into `scratch.positions`. If it has
// none there, puts in the first position of the batch.
void BatchSource::take_share(int64_t index, int64_t count, Scratch& scratch) const {
  const int64_t first = index * global_batch_size_;
  const int64_t world = rank_share_.world_size;
  scratch.positions.clear();
  for (int64_t i = share_offset(first, rank_share_); i < count; i += world)
    scratch.positions.push_back(first + i);
  if (scratch.positions.empty()) scratch.positions.push_back(first);
}

int64_t BatchSource::take_rows(int64_t index, Scratch& scratch, std::vector<int64_t>& rows) const {
  const int64_t first = index * global_batch_size_;
  const int64_t count = std::min(global_batch_size_, sampler_->size() - first);
  take_share(index, count, scratch);
  rows.resize(scratch.positions.size());
  if (rank_share_.world_size == 1) {
    sampler_->rows(first, rows);
  } else {
    scratch.global.resize(static_cast<size_t>(count));
    sampler_->rows(first, scratch.global);
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = scratch.global[static_cast<size_t>(scratch.positions[i] - first)];
    }
  }
  return count;
}

void BatchSource::read_known(int64_t index, Scratch& scratch, PreparedBatch& out) const {
  // A user's own sampler may have rows that don't exist, which are an error only when it is their
  // turn.
  const bool knows_next = in_place_ && !pinned_ && !checked_rows_ && index + 1 < size_;
  if (knows_next) take_rows(index + 1, scratch, scratch.next);
  auto& rows = scratch.rows;
  const int64_t count = take_rows(index, scratch, rows);
  if (checked_rows_) require_rows_in_range(rows, *checked_rows_);
  read(rows, out.batch);
  if (out.batch.rows() != static_cast<int64_t>(rows.size())) {
    throw DataError::wrong_row_count(static_cast<int64_t>(rows.size()), out.batch.rows());
  }
  if (knows_next) dataset_->announce(scratch.next, out.batch);
  out.global_rows = count;
}

// Every rank reads the whole global batch, not only its share. Only the number of rows read tells
// whether the stream has ended, and all ranks have to come to the same answer.
void BatchSource::read_stream(int64_t index, Scratch& scratch, PreparedBatch& out) const {
  const int64_t first = index * global_batch_size_;
  scratch.rows.resize(static_cast<size_t>(global_batch_size_));
  std::iota(scratch.rows.begin(), scratch.rows.end(), first);
  read(scratch.rows, out.batch);
  const int64_t count = out.batch.rows();
  if (count > global_batch_size_) throw DataError::wrong_row_count(global_batch_size_, count);
  out.last = count < global_batch_size_;
  out.global_rows = out.last && drop_last_ ? 0 : count;
  if (out.global_rows == 0) return;
  take_share(index, count, scratch);
  if (rank_share_.world_size == 1) return;
  auto& own = scratch.rows;
  own = scratch.positions;
  for (auto& place : own) place -= first;
  for (auto& [name, rows] : out.batch.entries()) {
    if (!has_rows(rows)) continue;
    Rows share;
    rows.gather(own, share);
    rows = std::move(share);
  }
  auto& ids = out.batch.row_ids();
  for (size_t i = 0; i < own.size(); ++i) ids[i] = ids[static_cast<size_t>(own[i])];
  ids.resize(own.size());
}

void BatchSource::read(const std::vector<int64_t>& rows, Batch& out) const {
  out.row_ids().clear();
  in_place_ ? dataset_->select_batch(rows, out) : dataset_->get_batch(rows, out);
  if (out.row_ids().empty()) {
    const auto given = std::clamp<int64_t>(out.rows(), 0, static_cast<int64_t>(rows.size()));
    out.row_ids().assign(rows.begin(), rows.begin() + given);
  }
}

}  // namespace levin
