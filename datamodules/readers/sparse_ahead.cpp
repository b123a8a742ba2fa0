#include <levin/datamodules/readers/sparse_ahead.h>

#include <exception>
#include <system_error>
#include <utility>

#include <levin/datamodules/readers/text.h>
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

/// Cuts the next stretch off the files; returns false if none is left.
bool SparseAhead::cut(Stretch& stretch) {
  if (is_cut_up_) return false;
  stretch.is_parsed = stretch.has_failed = false;
  stretch.error = nullptr;
  if (!open_) {
    stretch.file = next_file_++;
    try {
      open_ = std::make_shared<const MappedFile>(files_[stretch.file]);
      format_ = make_format_(open_->name());
      rest_ = open_->text();
      if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
    } catch (...) {
      stretch.error = std::current_exception();
      is_cut_up_ = true;
    }
  }
  stretch.file = next_file_ - 1;
  stretch.text_of = open_;
  stretch.format = format_;
  stretch.text = cut_stretch(rest_);
  stretch.is_last = rest_.empty();
  if (!stretch.is_last) return true;
  open_.reset();
  is_cut_up_ = is_cut_up_ || next_file_ == files_.size();
  return true;
}

void SparseAhead::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const size_t most = threads_wanted_ + 2;
    room_.wait(lock, [&] { return closing_ || is_cut_up_ || stretches_.size() < most; });
    if (closing_ || is_cut_up_) return;
    auto made = spares_.empty() ? std::make_unique<Stretch>() : std::move(spares_.back());
    if (!spares_.empty()) spares_.pop_back();
    if (!cut(*made)) return;
    Stretch& stretch = *made;
    stretches_.push_back(std::move(made));
    lock.unlock();
    stretch.rows.clear();
    if (!stretch.error) {
      try {
        stretch.format->parse(stretch.text, 1, stretch.rows);
      } catch (const std::exception&) {
        stretch.has_failed = true;  // parsed again when its lines' numbers are known
      }
    }
    lock.lock();
    stretch.is_parsed = true;
    parsed_.notify_all();
    if (is_cut_up_) room_.notify_all();  // the other threads are done, too
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
    stretch->format->parse(stretch->text, lines_before_ + 1, stretch->rows);
  }
  lines_ += stretch->rows.lines;
  rows_of_file_ += stretch->rows.rows.rows();
  finish_file(*stretch);
  std::swap(rows, stretch->rows);
  stretch->text_of.reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  spares_.push_back(std::move(stretch));
  return true;
}

/// Gives up the pages of a stretch that was parsed, and checks its file if that ends with it.
void SparseAhead::finish_file(const Stretch& stretch) {
  const auto& file = *stretch.text_of;
  if (!stretch.text.empty()) {
    file.release(static_cast<uint64_t>(stretch.text.data() - file.text().data()),
                 stretch.text.size());
  }
  if (!stretch.is_last) return;
  file.check_unchanged();
  if (rows_of_file_ > 0) return;
  throw DataError(file.name() + " has no rows; add at least one, or leave the file out");
}

}  // namespace levin::readers
