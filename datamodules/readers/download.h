#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/digest.h>

namespace levin::readers {

/// How far a download is, for a caller that shows it.
struct DownloadProgress {
  /// The mirror that is being read; valid during the call.
  std::string_view url = {};
  /// Bytes on disk, including those of an earlier download that was interrupted.
  int64_t done = 0;
  /// Bytes of the whole file; -1 if the server doesn't say.
  int64_t total = -1;
  /// True in the last call, when the file is verified and in its place.
  bool finished = false;
};

/// How a file is downloaded and verified.
struct DownloadOptions {
  /// What the file must be. Without a checksum, a download that was interrupted starts again.
  Checksum checksum = {};
  /// Seconds after which a mirror that doesn't answer is given up.
  double connect_timeout = 20;
  /// Seconds without a byte after which a transfer is given up (roughly: libcurl averages over
  /// five).
  double stall_timeout = 30;
  /// How often a mirror is asked again after a transfer that broke off, each time for the rest.
  int retries = 4;
  /// Called on the calling thread as bytes arrive. What it throws ends the download; what has
  /// arrived is kept.
  std::function<void(const DownloadProgress&)> progress = {};
};

/// Obtains a file from the first of several mirrors that delivers it (http, https, file). Blocks
/// until it is there.
///
///     download({"https://example.org/a.gz"}, "data/a.gz",
///              {.checksum = {.hex = sha256}, .progress = DownloadPrinter("a.gz")});
///
/// Bytes go to `destination` + ".part", which a later call resumes, and the file takes its place
/// only once it is verified. A file with a wrong checksum is deleted, and the next mirror is tried.
/// If the destination exists and has the checksum, it stays as it is, and no mirror is asked.
/// Processes that download into the same folder wait for each other. Throws ConfigError if `urls`
/// is empty or the checksum isn't one, and DataError, with the reason of each mirror, if none
/// delivers, or if the file can't be written.
void download(const std::vector<std::string>& urls, const std::filesystem::path& destination,
              const DownloadOptions& options = {});

}  // namespace levin::readers
