#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include <levin/datamodules/readers/download.h>
#include <levin/framework/core/live_lines.h>

namespace levin::readers {

/// Shows people how far a download is: make one for each file and give it to
/// DownloadOptions::progress.
///
///     download(urls, path, {.checksum = checksum, .progress = DownloadPrinter("train.gz")});
///
/// On a terminal it draws a bar with rate and time left, at most ten times a second. Elsewhere,
/// such as in a log file, it prints a plain line for every 10 % (for every 10 MB if the size isn't
/// known). At the end it prints one line with size and duration. MB are 10^6 bytes.
class DownloadPrinter {
 public:
  /// `name` is what is being downloaded. Draws a bar if `out` is a terminal (terminal_of). The
  /// stream must outlive the printer.
  explicit DownloadPrinter(std::string name, std::FILE* out = stderr);
  /// Does the same, but the caller says what `out` can show.
  DownloadPrinter(std::string name, std::FILE* out, const Terminal& terminal);

  /// Shows the progress if it is time to; calls must come from one thread.
  void operator()(const DownloadProgress& progress);

 private:
  void draw_bar(const DownloadProgress& progress, double now);
  void print_line(const DownloadProgress& progress);
  void print_end(const DownloadProgress& progress, double now);

  std::string name_;
  std::FILE* out_;
  std::shared_ptr<LiveLines> lines_;  // shared by copies, of which std::function makes some
  /// Seconds of a clock that only goes forward: when counting started, and when the bar was last
  /// drawn.
  double started_ = -1;
  double drawn_ = -1;
  /// The bytes that were there when counting started, and those of the last call.
  int64_t started_at_ = 0;
  int64_t last_ = 0;
  /// The last 10 % or 10 MB that got a line.
  int64_t last_step_ = 0;
};

}  // namespace levin::readers
