#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Writes checkpoints on a thread of its own while the caller goes on. Lightning:
/// AsyncCheckpointIO.
///
///     CheckpointWriter writer;
///     writer.write("a.ckpt", state, [] { /* the file is on disk */ });  // returns at once
///     writer.settle();                                                  // now and then
///     writer.wait();                                                    // before the files are
///     read
///
/// The files are those that save_checkpoint writes, with the same bytes. All functions are called
/// on one thread, which is also the one that calls what was passed as `done`.
class CheckpointWriter {
 public:
  CheckpointWriter();
  /// Waits until everything is written. What would have been called or thrown then is dropped; call
  /// `wait` before, if that matters.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Copies the state, so that it may change afterwards, and lets the thread write it after those
  /// that it was given before. The copy is freed as soon as the file is written. `done` is called
  /// by the first `settle` or `wait` after that.
  void write(std::filesystem::path path, const StateDict& state, std::function<void()> done);
  /// Calls the `done` of each file that was written since the last call, in their order. Doesn't
  /// wait. If a file couldn't be written, its `done` isn't called, and its exception is thrown: the
  /// first one, if there are several.
  void settle() {
    if (has_news_.load(std::memory_order_acquire)) take_news();
  }
  /// The same, after everything was written.
  void wait();

 private:
  struct Job {
    std::filesystem::path path;
    StateDict state;
    std::function<void()> done;
    std::exception_ptr error{};
    bool is_over = false;
  };
  void run();
  /// The first job that has still to be written; null if there is none.
  Job* next();
  void take_news();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // those that `settle` hasn't taken yet
  bool ends_ = false;
  std::atomic<bool> has_news_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace levin
