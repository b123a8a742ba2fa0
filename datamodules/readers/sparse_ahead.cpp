#include <levin/datamodules/readers/sparse_ahead.h>

#include <exception>
#include <system_error>
#include <utility>

#include <levin/framework/core/error.h>

namespace levin::readers {

SparseAhead::SparseAhead(std::vector<std::filesystem::path> files, MakeFormat make_format,
                         int64_t threads)
    : files_(std::move(files)),
      make_format_(std::move(make_format)),
      threads_wanted_(static_cast<size_t>(threads)) {
  check_threads(threads);
  if (files_.empty()) throw DataError::empty("the list of files", "name at least one");
}

SparseAhead::~SparseAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  room_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void SparseAhead::start() {
  while (threads_.size() < threads_wanted_) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;
      threads_wanted_ = threads_.size();  // fewer threads will do
    }
  }
}

/// Cuts the next stretch off the files; returns whether it is the last one.
bool SparseAhead::cut(Stretch& stretch) {
  stretch.is_parsed = stretch.has_failed = stretch.is_last = false;
  stretch.error = nullptr;
  try {
    return cut_file(stretch);
  } catch (...) {
    stretch.error = std::current_exception();
    return true;
  }
}

bool SparseAhead::cut_file(Stretch& stretch) {
  if (!open_) {
    stretch.file = next_file_++;
    open_ = std::make_shared<TextFile>(files_[stretch.file]);
    format_ = make_format_(open_->name());
  }
  stretch.file = next_file_ - 1;
  stretch.source = open_;
  stretch.format = format_;
  open_->next(stretch.text);
  stretch.is_last = open_->has_ended();
  if (!stretch.is_last) return false;
  open_.reset();
  return next_file_ == files_.size();
}

void SparseAhead::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const size_t most = threads_wanted_ + 2;
    room_.wait(
        lock, [&] { return closing_ || is_cut_up_ || (!is_cutting_ && stretches_.size() < most); });
    if (closing_ || is_cut_up_) return;
    auto made = spares_.empty() ? std::make_unique<Stretch>() : std::move(spares_.back());
    if (!spares_.empty()) spares_.pop_back();
    Stretch& stretch = *made;
    is_cutting_ = true;
    lock.unlock();  // a compressed file is unpacked here
    const bool was_last = cut(stretch);
    lock.lock();
    is_cutting_ = false;
    is_cut_up_ = was_last;
    stretches_.push_back(std::move(made));
    room_.notify_all();
    lock.unlock();
    stretch.rows.clear();
    if (!stretch.error) {
      try {
        stretch.format->parse(stretch.text.text, 1, stretch.rows);
      } catch (const std::exception&) {
        stretch.has_failed = true;  // parsed again when its lines' numbers are known
      }
    }
    lock.lock();
    stretch.is_parsed = true;
    parsed_.notify_all();
  }
}

bool SparseAhead::next(ParsedRows& rows) {
  std::unique_ptr<Stretch> stretch;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    start();
    parsed_.wait(
        lock, [this] { return stretches_.empty() ? is_cut_up_ : stretches_.front()->is_parsed; });
    if (stretches_.empty()) return false;
    if (stretches_.front()->error) std::rethrow_exception(stretches_.front()->error);
    stretch = std::move(stretches_.front());
    stretches_.pop_front();
  }
  room_.notify_one();
  if (stretch->file != file_) lines_ = rows_of_file_ = 0;
  file_ = stretch->file;
  lines_before_ = lines_;
  if (stretch->has_failed) {
    stretch->rows.clear();
    stretch->format->parse(stretch->text.text, lines_before_ + 1, stretch->rows);
  }
  lines_ += stretch->rows.lines;
  rows_of_file_ += stretch->rows.rows.rows();
  finish_file(*stretch);
  std::swap(rows, stretch->rows);
  stretch->source.reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  spares_.push_back(std::move(stretch));
  return true;
}

/// Gives up the pages of a stretch that was parsed, and checks its file if that ends with it.
void SparseAhead::finish_file(const Stretch& stretch) {
  const auto& file = *stretch.source;
  file.release(stretch.text);
  if (!stretch.is_last) return;
  file.check_unchanged();
  if (rows_of_file_ > 0) return;
  throw DataError(file.name() + " has no rows; add at least one, or leave the file out");
}

}  // namespace levin::readers
