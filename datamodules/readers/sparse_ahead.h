#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <levin/datamodules/readers/sparse_text.h>
#include <levin/datamodules/readers/text_file.h>

namespace levin::readers {

/// Reads text files of sparse rows once, one after another, in stretches of about 1 MiB, which
/// threads parse ahead of their use, and unpack if they are compressed by gzip. Files of any size
/// take the memory of a few stretches.
///
///     SparseAhead text({"day_0.tsv", "day_1.tsv"}, make_format, /*threads=*/1);
///     for (ParsedRows rows; text.next(rows);) learn_from(rows.rows);
///
/// The rows, and the error for files with several faults, are the same for any number of threads.
/// All calls must come from one thread at a time.
class SparseAhead {
 public:
  /// Starts no thread and opens no file yet. Throws DataError if there are no files, and
  /// ConfigError unless `threads` is from 1 to 1024.
  SparseAhead(std::vector<std::filesystem::path> files, MakeFormat make_format, int64_t threads);
  /// Waits for the stretches that are being parsed.
  ~SparseAhead();
  SparseAhead(const SparseAhead&) = delete;
  SparseAhead& operator=(const SparseAhead&) = delete;

  /// Puts the rows of the next stretch into `rows`, whose memory is used again, and waits for them
  /// if need be; a stretch of blank lines has none. Returns false behind the last file. Throws what
  /// the format throws, and DataError for a file that can't be read, has no rows or was changed
  /// meanwhile.
  bool next(ParsedRows& rows);
  /// The file of the last stretch, and the lines of this file in front of it, for messages.
  const std::filesystem::path& file() const { return files_[file_]; }
  int64_t lines_before() const { return lines_before_; }

 private:
  /// A stretch that is parsed, or will be.
  struct Stretch {
    size_t file = 0;
    std::shared_ptr<const TextFile> source;
    std::shared_ptr<const SparseFormat> format;
    TextStretch text = {};
    bool is_last = false;  // of its file
    bool is_parsed = false;
    bool has_failed = false;
    std::exception_ptr error;  // the file couldn't be read
    ParsedRows rows = {};
  };
  void start();
  void work();
  bool cut(Stretch& stretch);
  bool cut_file(Stretch& stretch);
  void finish_file(const Stretch& stretch);

  std::vector<std::filesystem::path> files_;
  MakeFormat make_format_;
  size_t threads_wanted_;
  // Of the stretch that was handed out last.
  size_t file_ = 0;
  int64_t lines_before_ = 0;
  int64_t lines_ = 0;
  int64_t rows_of_file_ = 0;

  // Of the thread that cuts: the file that is open, and the next one.
  size_t next_file_ = 0;
  std::shared_ptr<TextFile> open_;
  std::shared_ptr<const SparseFormat> format_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable room_;
  std::condition_variable parsed_;
  std::deque<std::unique_ptr<Stretch>> stretches_;  // in their order
  std::vector<std::unique_ptr<Stretch>> spares_;
  bool is_cutting_ = false;  // a thread is, without the lock
  bool is_cut_up_ = false;   // no stretch is left
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace levin::readers
