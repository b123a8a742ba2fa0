#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/digest.h>

namespace levin::readers {

/// How far a download is.
struct DownloadProgress {
  /// The mirror that is being read.
  std::string_view url = {};
  /// Bytes on disk, those of an earlier, broken download included.
  int64_t done = 0;
  /// Bytes of the whole file; -1 where the server doesn't say.
  int64_t total = -1;
  /// The file is verified and in its place: the last call.
  bool finished = false;
};

struct DownloadOptions {
  /// What the file must be. Without one a broken download can't be resumed later.
  Checksum checksum = {};
  /// Seconds until a mirror that doesn't answer is given up.
  double connect_timeout = 20;
  /// Seconds without a byte until a transfer is given up (about: libcurl averages over five).
  double stall_timeout = 30;
  /// Times a mirror is asked again after a transfer that broke off, each time for the rest.
  int retries = 4;
  /// Called as bytes arrive. What it throws ends the download; what has arrived is kept.
  std::function<void(const DownloadProgress&)> progress = {};
};

/// Obtains a file from the first of several mirrors that delivers it (http, https, file).
///
/// Bytes arrive in `destination` + ".part", which a later call resumes, and take their place only
/// once verified; a file with a wrong checksum is deleted and the next mirror tried. A destination
/// that is there and has the checksum stays as it is, without asking anyone. Processes that want
/// files in the same folder wait for each other. Throws ConfigError for options that make no sense,
/// DataError::unreadable where no mirror delivers, with the reason of each.
void download(const std::vector<std::string>& urls, const std::filesystem::path& destination,
              const DownloadOptions& options = {});

}  // namespace levin::readers
