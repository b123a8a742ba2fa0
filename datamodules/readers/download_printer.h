#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <levin/datamodules/readers/download.h>

namespace levin::readers {

/// Shows a download to whoever waits for it; give one to DownloadOptions::progress.
///
/// On a terminal a bar with rate and time left, redrawn ten times a second; elsewhere a plain line
/// for every 10 % (every 10 MB where the size isn't known).
class DownloadPrinter {
 public:
  /// `name` is what is being downloaded. The stream must outlive the printer.
  explicit DownloadPrinter(std::string name, std::FILE* out = stderr);
  /// The same with the choice made by the caller.
  DownloadPrinter(std::string name, std::FILE* out, bool terminal);

  void operator()(const DownloadProgress& progress);

 private:
  void draw_bar(const DownloadProgress& progress, double now);
  void print_line(const DownloadProgress& progress);
  void print_end(const DownloadProgress& progress, double now);

  std::string name_;
  std::FILE* out_;
  bool terminal_;
  double started_ = -1;
  double drawn_ = -1;
  int64_t started_at_ = 0;
  int64_t last_ = 0;
  int64_t last_step_ = 0;
};

}  // namespace levin::readers
