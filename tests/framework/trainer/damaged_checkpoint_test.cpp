#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

// A checkpoint whose bytes are whole can still lack what a run looks for in it. The error says
// which file that was, since a job may read several.

namespace levin::damaged_checkpoint_test {

using test::message_of;
using test::says;
using Change = std::function<void(Value::Object&)>;

class DamagedCheckpoint : public ::testing::Test {
 protected:
  DamagedCheckpoint() {
    Trainer trainer(options(1));
    trainer.fit(model_, data_);
    trainer.save_checkpoint(path_);
  }

  TrainerOptions options(int64_t epochs) const {
    return {.max_epochs = epochs, .default_root_dir = folder_.string()};
  }

  /// The message with which a fit refuses to go on from the checkpoint after `change`.
  std::string refusal(const Change& change) {
    StateDict state = load_checkpoint(path_);
    change(state.values.as_object());
    const auto changed = folder_.path() / "changed.ckpt";
    save_checkpoint(changed, state);
    Trainer trainer(options(2));
    return message_of<CheckpointError>([&] { trainer.fit(model_, data_, changed.string()); });
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "whole.ckpt";
  test::PointsModule data_{16, {.batch_size = 8}};
  test::Classifier model_;
};

TEST_F(DamagedCheckpoint, is_named_whatever_it_lacks) {
  const std::vector<std::pair<const char*, Change>> changes = {
      {"callbacks", [](auto& all) { all["callbacks"] = 5; }},
      {"loggers", [](auto& all) { all["loggers"] = nullptr; }},
      {"loop", [](auto& all) { all["loop"] = Value::Object{}; }},
      {"optimizer", [](auto& all) { all["optimizer"] = "x"; }},
      {"the optimizer's state", [](auto& all) { all.erase("optimizer"); }},
      {"random", [](auto& all) { all.erase("random"); }},
      {"schedulers", [](auto& all) { all["schedulers"] = Value::Array{}; }},
  };
  for (const auto& [what, change] : changes) {
    const std::string message = refusal(change);
    EXPECT_TRUE(says(message, {"changed.ckpt"})) << what;
    EXPECT_EQ(message.find("changed.ckpt"), message.rfind("changed.ckpt")) << message;
  }
}

TEST_F(DamagedCheckpoint, is_named_if_its_values_are_no_json) {
  std::string bytes = test::read_file(path_);
  // The header's length stays the same, so that only the JSON in it is damaged.
  const size_t at = bytes.find(R"({\"callbacks)");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '[';
  for (const char* sum : {"levin.crc32.header", "levin.crc32.data"}) {
    const size_t place = bytes.find(sum);  // files of other programs have no checksums
    ASSERT_NE(place, std::string::npos);
    bytes[place] = 'x';
  }
  const std::string message =
      message_of<CheckpointError>([&] { checkpoint_from_bytes(bytes, "received/changed.ckpt"); });
  EXPECT_TRUE(says(message, {"received/changed.ckpt", "not valid JSON"}));
}

}  // namespace levin::damaged_checkpoint_test
