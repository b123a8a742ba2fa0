#include <gtest/gtest.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/support.h"

// What a checkpoint of fit says about the module it is of.

namespace levin::fit_state_test {

/// Points whose classes have names; kept as bytes if asked for.
class NamedPoints : public test::PointsModule {
 public:
  explicit NamedPoints(std::vector<std::string> names)
      : PointsModule(40, {.batch_size = 16}), names_(std::move(names)) {}
  std::vector<std::string> class_names() override { return names_; }

 private:
  std::vector<std::string> names_;
};

/// Images as bytes that stand for numbers of 0 to 1, gathered when a step asks for them.
class Images : public DataModule {
 public:
  Images() {
    set_ = std::make_shared<TensorDataset>(torch::randint(256, {12, 1, 2, 2}, torch::kByte),
                                           torch::randint(3, {12}, torch::kLong));
    set_->set_scale("input", {});
  }
  DataLoaders train_dataloader() override { return DataLoader(set_, {.batch_size = 5}); }

 private:
  std::shared_ptr<TensorDataset> set_;
};

/// Saves before the first batch.
struct EarlyOptions {};
class Early : public Callback {
 public:
  using Options = EarlyOptions;
  explicit Early(EarlyOptions) {}
  std::string state_key() const override { return "Early"; }
  void on_train_start(Run& run) override { run.save("early.ckpt"); }
};

class FlatClassifier : public test::Classifier {
 public:
  void on_after_batch_transfer(Batch& batch) override {
    batch.set("input", batch.input().flatten(1).to(torch::kFloat));
  }
};

class FitStateTest : public ::testing::Test {
 protected:
  TrainerOptions options() const {
    return {.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()};
  }
  ModuleDescription fit(Module& module, DataModule& data, const std::string& ckpt_path = {}) {
    Trainer trainer(options());
    trainer.fit(module, data, ckpt_path);
    trainer.save_checkpoint(path_);
    return read(path_);
  }
  static ModuleDescription read(const std::filesystem::path& path) {
    const auto description = module_description(load_checkpoint(path));
    EXPECT_TRUE(description) << path;
    return description.value_or(ModuleDescription{});
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "end.ckpt";
};

TEST_F(FitStateTest, says_the_class_the_input_of_a_row_and_the_names_of_the_classes) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  const auto description = fit(module, data);
  EXPECT_EQ(description.class_path, "Classifier");
  EXPECT_TRUE(description.init_args.is_null());  // the class doesn't tell
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
  EXPECT_EQ(description.input->dtype, "float32");
  EXPECT_EQ(description.class_names, (std::vector<std::string>{"red", "green", "blue"}));
}

TEST_F(FitStateTest, the_input_is_what_steps_get) {
  FlatClassifier module;
  Images data;
  const auto description = fit(module, data);
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
  EXPECT_EQ(description.input->dtype, "float32");
  EXPECT_TRUE(description.class_names.empty());
}

TEST_F(FitStateTest, the_input_is_unknown_before_the_first_batch_unless_an_earlier_run_saw_it) {
  test::Classifier module;
  test::PointsModule data(40, {.batch_size = 16});
  Trainer trainer(options());
  trainer.add<Early>();
  trainer.fit(module, data);
  EXPECT_FALSE(read(trainer.run().log_dir() / "early.ckpt").input);
  trainer.save_checkpoint(path_);

  auto more = options();
  more.max_epochs = 2;
  Trainer resumed(more);
  resumed.add<Early>();
  resumed.fit(module, data, path_.string());
  const auto description = read(resumed.run().log_dir() / "early.ckpt");
  ASSERT_TRUE(description.input);
  EXPECT_EQ(description.input->shape, std::vector<int64_t>{4});
}

TEST_F(FitStateTest, data_of_other_classes_are_not_tested_on) {
  test::Classifier module;
  NamedPoints data({"red", "green", "blue"});
  fit(module, data);
  Trainer trainer(options());
  NamedPoints others({"blue", "green", "red"});
  EXPECT_TRUE(test::says(
      test::message_of<CheckpointError>([&] { trainer.test(module, others, path_.string()); }),
      {"'" + path_.string() + "' doesn't fit these data:", "red, green, blue",
       "blue, green, red"}));
  EXPECT_NO_THROW(trainer.test(module, data, path_.string()));
  NamedPoints numbered({});
  EXPECT_NO_THROW(trainer.test(module, numbered, path_.string()));
  EXPECT_NO_THROW(trainer.predict(module, others, path_.string()));
}

}  // namespace levin::fit_state_test
