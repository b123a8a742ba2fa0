#pragma once

#include <gtest/gtest.h>
#include <levin/framework/core/files.h>
#include <levin/framework/formats/tfrecord.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/run.h>

#include <filesystem>
#include <string>

#include "callbacks/fixture.h"

namespace levin::test {

/// A clock that stands still, so that events of the same content have the same bytes.
class StoppedClock {
 public:
  StoppedClock() {
    files::inject_clock([] { return 1234567890.5; });
  }
  ~StoppedClock() { files::inject_clock({}); }
  StoppedClock(const StoppedClock&) = delete;
  StoppedClock& operator=(const StoppedClock&) = delete;
};

/// The bytes of the only event file in a folder.
inline std::string events_in(const fs::path& folder) {
  std::string found;
  for (const auto& name : files_in(folder)) {
    if (name.find("tfevents") == std::string::npos) continue;
    EXPECT_EQ(found, "") << "there are several event files";
    found = read_file(folder / name);
  }
  EXPECT_EQ(tfrecord::end_of_records(found, found.size()), found.size()) << "a record is torn";
  return found;
}

/// Saves a checkpoint at the end of the second epoch, in the folder from which a fit goes on in the
/// same run's folder.
class SaveInTheMiddle : public Callback {
 public:
  struct Options {};
  explicit SaveInTheMiddle(Options) {}
  void on_train_epoch_end(Run& now) override {
    if (now.epoch() == 1) now.save("checkpoints/middle.ckpt");
  }
};

}  // namespace levin::test
