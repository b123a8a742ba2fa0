#include <ATen/Context.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/data/prefetch_ring.h>
#include <levin/framework/data/resident_batches.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace levin {

class Reader::Implementation {
 public:
  Implementation(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
                 RankShare rank_share)
      : dataset_(dataset),
        source_(std::move(dataset), options, rank_share),
        size_(source_.size()),
        rows_a_batch_(rows_a_step(options, rank_share)),
        order_size_(options.sampler ? options.sampler->size() : dataset_->size().value_or(0)),
        is_only_rank_(rank_share.world_size == 1),
        workers_(options.num_workers),
        capacity_(options.num_workers * options.prefetch_factor),
        pin_memory_(options.pin_memory) {}

  bool next(Batch& batch);
  bool at_end();
  void seek(int64_t epoch, int64_t position);
  void set_device(at::Device device);
  void leave_rows_in_place(bool in_place);
  bool reside(at::Device device, size_t most_bytes);
  bool can_record() const { return resident_ != nullptr && is_only_rank_ && size_; }
  int64_t full_batches_left() const {
    return ahead_ ? 0 : std::max<int64_t>(0, order_size_ / rows_a_batch_ - position_);
  }
  void begin_recording(Batch& batch);
  bool next_recorded();

 private:
  friend class Reader;
  bool on_cuda() const { return device_ && device_->is_cuda(); }
  bool known_end() const { return ended_ || (size_ && position_ >= *size_); }
  void start();
  void fetch();
  void hand_out(Batch& batch);

  std::shared_ptr<const Dataset> dataset_;
  BatchSource source_;
  std::optional<int64_t> size_;
  int64_t rows_a_batch_;
  int64_t order_size_;  // rows of an epoch; 0 for a stream
  bool is_only_rank_;
  int64_t workers_;
  int64_t capacity_;
  bool pin_memory_;
  BatchSource::Scratch scratch_;
  PreparedBatch front_;   // the batch read ahead if ahead_; else only buffers
  bool ahead_ = false;    // front_ is the batch at position_
  bool started_ = false;  // source_ and ring_ are at epoch_ and position_
  bool ended_ = false;    // a stream has no batch at position_
  int64_t epoch_ = 0;
  int64_t position_ = 0;
  int64_t global_rows_ = 0;
  std::optional<at::Device> device_;
  bool in_place_ = false;
  std::shared_ptr<const TensorDataset> resident_;  // null: the data aren't on the device
  std::vector<int64_t> resident_rows_;             // InMemory::rows
  std::unique_ptr<ResidentBatches> recorded_;
  int64_t recorded_epoch_ = -1;
  std::unique_ptr<PrefetchRing> ring_;  // declared last, so its threads end before source_ does
};

bool Reader::Implementation::next(Batch& batch) {
  if (!ahead_ && !known_end()) {
    if (!on_cuda() && !batch.entries().empty()) swap(front_.batch, batch);
    fetch();
  }
  if (known_end()) {
    if (!on_cuda() && front_.batch.entries().empty()) swap(front_.batch, batch);
    batch = Batch();
    return false;
  }
  ahead_ = false;
  if (front_.error) {
    started_ = false;  // the next call makes this batch again
    batch = Batch();
    std::rethrow_exception(std::exchange(front_.error, nullptr));
  }
  hand_out(batch);
  return true;
}

void Reader::Implementation::hand_out(Batch& batch) {
  global_rows_ = front_.global_rows;
  ended_ = front_.last;
  ++position_;
  if (on_cuda()) {
    batch = front_.batch.to(*device_);  // front_ keeps its buffers on the host
  } else {
    swap(front_.batch, batch);
    if (device_) batch = batch.to(*device_);
  }
}

void Reader::Implementation::fetch() {
  if (!started_) start();
  if (ring_) {
    ring_->take(front_);
  } else {
    source_.make(position_, scratch_, front_);
  }
  ahead_ = front_.error || front_.global_rows > 0;
  ended_ = !ahead_;
}

void Reader::Implementation::start() {
  if (ring_) ring_->stop();
  source_.set_epoch(epoch_);
  const bool is_resident = resident_ != nullptr;
  const bool is_pinned = (pin_memory_ || on_cuda()) && at::hasCUDA() && !is_resident;
  source_.set_pinned(is_pinned);
  // Pinned batches are made of the rows where they lie, and bytes stay bytes. Otherwise, rows
  // aren't left in place if workers copy them while a step runs, which costs the step nothing.
  source_.set_in_place(is_pinned || (in_place_ && workers_ == 0));
  if (workers_ > 0) {
    if (!ring_) ring_ = std::make_unique<PrefetchRing>(source_, workers_, capacity_);
    ring_->start(position_, size_.value_or(std::numeric_limits<int64_t>::max()));
  }
  started_ = true;
}

bool Reader::Implementation::at_end() {
  if (!size_ && !ahead_ && !ended_) fetch();
  return known_end();
}

void Reader::Implementation::seek(int64_t epoch, int64_t position) {
  if (epoch < 0) {
    throw ConfigError::invalid_value("epoch", std::to_string(epoch), "must be at least 0");
  }
  if (position < 0 || (size_ && position > *size_)) {
    const auto most = size_ ? " to " + std::to_string(*size_) + ", the batches of an epoch" : "";
    throw ConfigError::invalid_value("position", std::to_string(position), "must be from 0" + most);
  }
  if (epoch == epoch_ && position == position_ && !front_.error) return;
  epoch_ = epoch;
  position_ = position;
  front_.error = nullptr;
  ahead_ = ended_ = started_ = false;
}

void Reader::Implementation::set_device(at::Device device) {
  device_ = device;
  started_ = false;
}

void Reader::Implementation::leave_rows_in_place(bool in_place) {
  if (in_place == in_place_) return;
  in_place_ = in_place;
  started_ = false;
}

bool Reader::Implementation::reside(at::Device device, size_t most_bytes) {
  if (resident_ != nullptr) return true;
  if (source_.has_transform()) return false;
  auto memory = find_in_memory(dataset_);
  if (memory.tensors == nullptr) return false;
  resident_ = memory.tensors->on(device, most_bytes);
  if (resident_ == nullptr) return false;
  resident_rows_ = std::move(memory.rows);
  if (resident_rows_.empty()) {
    source_.set_dataset(resident_);
  } else {
    source_.set_dataset(std::make_shared<Subset>(resident_, resident_rows_));
  }
  device_ = device;
  if (ring_) ring_->stop();
  ring_.reset();
  workers_ = 0;
  front_ = {};
  ahead_ = started_ = false;
  return true;
}

void Reader::Implementation::begin_recording(Batch& batch) {
  const auto fill_order = [this](int64_t first, std::span<int64_t> numbers) {
    source_.order(first, numbers);
    if (resident_rows_.empty()) return;
    for (auto& number : numbers) number = resident_rows_[static_cast<size_t>(number)];
  };
  recorded_ = std::make_unique<ResidentBatches>(resident_, order_size_, rows_a_batch_, in_place_,
                                                fill_order);
  recorded_->put_tensors(batch);
}

bool Reader::Implementation::next_recorded() {
  if (recorded_ == nullptr || full_batches_left() == 0) return false;
  if (!started_) start();
  if (recorded_epoch_ != epoch_) recorded_->begin_epoch();
  recorded_epoch_ = epoch_;
  recorded_->prepare(position_ * rows_a_batch_);
  global_rows_ = rows_a_batch_;
  ++position_;
  return true;
}

Reader::Reader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
               RankShare rank_share)
    : implementation_(std::make_unique<Implementation>(std::move(dataset), options, rank_share)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

bool Reader::next(Batch& batch) { return implementation_->next(batch); }
bool Reader::at_end() { return implementation_->at_end(); }
void Reader::seek(int64_t epoch, int64_t position) { implementation_->seek(epoch, position); }
int64_t Reader::epoch() const { return implementation_->epoch_; }
int64_t Reader::position() const { return implementation_->position_; }
std::optional<int64_t> Reader::size() const { return implementation_->size_; }
int64_t Reader::global_rows() const { return implementation_->global_rows_; }
void Reader::set_device(at::Device device) { implementation_->set_device(device); }
void Reader::leave_rows_in_place(bool in_place) { implementation_->leave_rows_in_place(in_place); }
bool Reader::reside(at::Device device, size_t most_bytes) {
  return implementation_->reside(device, most_bytes);
}
bool Reader::can_record() const { return implementation_->can_record(); }
int64_t Reader::full_batches_left() const { return implementation_->full_batches_left(); }
void Reader::begin_recording(Batch& batch) { implementation_->begin_recording(batch); }
void Reader::record(Batch& batch) { implementation_->recorded_->record(batch); }
bool Reader::next_recorded() { return implementation_->next_recorded(); }

}  // namespace levin
