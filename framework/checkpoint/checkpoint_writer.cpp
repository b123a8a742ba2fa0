#include <levin/framework/checkpoint/checkpoint_writer.h>

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>

namespace levin {
namespace {

/// Copies a state to the CPU. Tensors that share all of their memory do so in the copy, too, so
/// that the file names them as it would have named the originals.
StateDict copy_to_write(const StateDict& state) {
  StateDict copy;
  copy.values = state.values;
  std::map<std::tuple<const void*, at::ScalarType, std::vector<int64_t>, std::vector<int64_t>>,
           torch::Tensor>
      seen;
  for (const auto& [name, tensor] : state.tensors) {
    if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.numel() == 0) {
      copy.tensors.emplace(name, tensor);  // save_checkpoint refuses the first two
      continue;
    }
    const auto key = std::tuple(tensor.const_data_ptr(), tensor.scalar_type(), tensor.sizes().vec(),
                                tensor.strides().vec());
    torch::Tensor& own = seen[key];
    if (!own.defined()) {
      const auto plain = tensor.detach();
      own = plain.is_cpu() ? plain.clone() : plain.cpu();
    }
    copy.tensors.emplace(name, own);
  }
  return copy;
}

}  // namespace

CheckpointWriter::CheckpointWriter() : thread_([this] { run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::write(std::filesystem::path path, const StateDict& state,
                             std::function<void()> done) {
  Job job{.path = std::move(path), .state = copy_to_write(state), .done = std::move(done)};
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

CheckpointWriter::Job* CheckpointWriter::next() {
  for (Job& job : jobs_) {
    if (!job.is_over) return &job;
  }
  return nullptr;
}

void CheckpointWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || next() != nullptr; });
    Job* const job = next();  // stays in its place: `take_news` takes only jobs that are over
    if (job == nullptr) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      save_checkpoint(job->path, job->state);
    } catch (...) {
      error = std::current_exception();
    }
    job->state = {};
    lock.lock();
    job->error = std::move(error);
    job->is_over = true;
    has_news_.store(true, std::memory_order_release);
    changed_.notify_all();
  }
}

void CheckpointWriter::take_news() {
  std::vector<Job> over;
  {
    const std::lock_guard lock(mutex_);
    while (!jobs_.empty() && jobs_.front().is_over) {
      over.push_back(std::move(jobs_.front()));
      jobs_.pop_front();
    }
    has_news_.store(false, std::memory_order_relaxed);
  }
  std::exception_ptr error;
  for (const Job& job : over) {
    if (!job.error) {
      job.done();
    } else if (!error) {
      error = job.error;
    }
  }
  if (error) std::rethrow_exception(error);
}

void CheckpointWriter::wait() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return next() == nullptr; });
  }
  settle();
}

}  // namespace levin
