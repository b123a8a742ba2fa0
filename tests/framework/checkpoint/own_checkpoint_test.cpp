#include <levin/framework/checkpoint/own_checkpoint.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>

#include "framework/message_of.h"
#include "framework/support.h"

// What a file says about paths is not trusted.

namespace levin::own_checkpoint_test {

namespace fs = std::filesystem;

class OwnCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(own_);
    fs::create_directories(folder_ / "run-2");
    write(own_ / "a.ckpt");
    write(victim_);
  }
  static void write(const fs::path& path) { std::ofstream(path) << "text"; }

  test::TemporaryFolder folder_;
  fs::path own_ = folder_ / "run";
  fs::path victim_ = folder_ / "run-2/victim.ckpt";
};

TEST_F(OwnCheckpoint, is_one_that_really_lies_in_the_folder) {
  EXPECT_TRUE(is_checkpoint_in(own_, own_ / "a.ckpt"));
  EXPECT_TRUE(is_checkpoint_in(own_, own_ / "../run/./a.ckpt"));
  EXPECT_FALSE(is_checkpoint_in(own_, own_ / "missing.ckpt"));
  EXPECT_FALSE(is_checkpoint_in(own_, own_));
  EXPECT_FALSE(is_checkpoint_in(own_, {}));
  EXPECT_FALSE(is_checkpoint_in({}, own_ / "a.ckpt"));
  EXPECT_FALSE(is_checkpoint_in(folder_ / "missing", own_ / "a.ckpt"));
  EXPECT_FALSE(is_checkpoint_in(own_, own_ / "./../run-2/victim.ckpt"));
  EXPECT_FALSE(is_checkpoint_in(own_, victim_)) << "the name of the folder only begins the same";
  fs::create_directories(own_ / "folder");
  EXPECT_FALSE(is_checkpoint_in(own_, own_ / "folder")) << "a folder without an index";
}

TEST_F(OwnCheckpoint, removal_never_leaves_the_folder) {
  fs::create_symlink(victim_, own_ / "link.ckpt");
  fs::create_directory_symlink(folder_ / "run-2", own_ / "linked");
  for (const fs::path& path : {own_ / "../run-2/victim.ckpt", victim_, own_ / "link.ckpt",
                               own_ / "linked/victim.ckpt", own_ / "linked"}) {
    EXPECT_FALSE(remove_checkpoint_in(own_, path)) << path;
    EXPECT_TRUE(fs::exists(victim_)) << path;
  }
  fs::create_directory_symlink(own_, folder_ / "other-name");
  EXPECT_TRUE(remove_checkpoint_in(folder_ / "other-name", own_ / "a.ckpt"));
  EXPECT_FALSE(fs::exists(own_ / "a.ckpt"));
}

TEST_F(OwnCheckpoint, a_run_removes_only_what_is_in_its_folder) {
  class Greedy : public Callback {
   public:
    explicit Greedy(std::vector<fs::path> replaces) : replaces_(std::move(replaces)) {}
    std::string state_key() const override { return "Greedy"; }
    void on_train_end(levin::Run& run) override { run.save("new.ckpt", {.replaces = replaces_}); }

   private:
    std::vector<fs::path> replaces_;
  };
  const fs::path run = folder_ / "levin_logs/version_0";
  test::PointsModule data(16, {.batch_size = 8});
  test::Classifier model;
  Trainer trainer({.max_epochs = 1, .default_root_dir = folder_.string()});
  trainer.add(std::make_unique<Greedy>(
      std::vector<fs::path>{victim_, run / "../../run-2/victim.ckpt", run / "missing.ckpt"}));
  trainer.fit(model, data);
  EXPECT_TRUE(fs::exists(victim_));
}

TEST_F(OwnCheckpoint, an_index_that_names_a_file_elsewhere_is_refused) {
  const fs::path path = folder_ / "sharded.ckpt";
  StateDict state;
  state.tensors["w"] = torch::zeros({4});
  save_sharded_checkpoint(path, state, single_rank());
  EXPECT_EQ(load_checkpoint(path).tensors.size(), 1U);
  for (const std::string& name : {std::string("../run/a.ckpt"), victim_.string(),
                                  std::string("rank-0.0123456z.safetensors")}) {
    Value index = Value::Object{{"format", 1}, {"save", "01234567"}, {"world_size", 1}};
    index["files"] = Value::Array{name};
    const std::string text = index.to_json();
    index["crc32"] = fmt::format(
        "{:08x}", ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
    std::ofstream(path / "index.json") << index.to_json();
    EXPECT_TRUE(test::says(test::message_of<CheckpointError>([&] { load_checkpoint(path); }),
                           {"index.json", name, "isn't the name of a part"}));
  }
}

TEST_F(OwnCheckpoint, a_folder_of_another_program_is_left_alone) {
  const fs::path site = folder_ / "site";
  fs::create_directories(site);
  for (const char* name : {"index.json", "rank-list.safetensors", "rank-1.v2.safetensors"}) {
    write(site / name);
  }
  const auto is_refused = [&](const auto& work) {
    return test::says(test::message_of<CheckpointError>(work),
                      {site.string(), "an index.json that isn't a checkpoint's"});
  };
  EXPECT_TRUE(is_refused([&] { save_checkpoint(site, {}); }));
  EXPECT_TRUE(is_refused([&] { save_sharded_checkpoint(site, {}, single_rank()); }));
  EXPECT_TRUE(is_refused([&] { remove_checkpoint(site); }));
  EXPECT_EQ(std::distance(fs::directory_iterator(site), fs::directory_iterator()), 3);
  fs::remove(site / "index.json");
  EXPECT_TRUE(test::says(test::message_of<CheckpointError>([&] { save_checkpoint(site, {}); }),
                         {site.string(), "isn't a part of a checkpoint"}));
  EXPECT_FALSE(fs::exists(folder_ / "site.new"));
  remove_checkpoint(site);
  EXPECT_TRUE(fs::exists(site / "rank-list.safetensors"));
  EXPECT_TRUE(fs::exists(site / "rank-1.v2.safetensors"));
}

}  // namespace levin::own_checkpoint_test
