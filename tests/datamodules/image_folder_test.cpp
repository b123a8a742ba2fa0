#include <levin/datamodules/image_folder.h>

#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <algorithm>

#include <levin/datamodules/readers/image.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

namespace levin::image_folder_test {

namespace fs = std::filesystem;

using test::message_of;
using test::read_all;

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

/// Folders of the small files that Pillow wrote, all of 9x11 pixels.
class ImageFolder : public ::testing::Test {
 protected:
  ImageFolder() {
    const auto json =
        nlohmann::json::parse(test::read_file(LEVIN_SOURCE_DIR "/tests/baselines/images.json"));
    for (const auto& item : json["files"]) {
      files_.push_back(test::to_text(test::from_hex(item["file"].get<std::string>())));
    }
  }
  /// Puts `count` files of different contents into `folder`.
  void fill(const std::string& folder, int count) {
    fs::create_directories(root_ / folder);
    for (int i = 0; i < count; ++i) {
      const auto& file = files_[next_++ % files_.size()];
      test::write_text(root_ / folder / (std::to_string(i) + ".png"), file);
    }
  }
  void fill_sets() {
    fill("train/cat", 5);
    fill("train/dog", 7);
    fill("val/dog", 2);
    fill("test/cat", 3);
  }
  ImageFolderDataModuleOptions options() const { return {.data_dir = root_.string()}; }

  test::TemporaryFolder folder_;
  fs::path root_ = folder_.path();
  std::vector<std::string> files_;
  size_t next_ = 0;
};

/// Everything that one epoch of each stage gives.
std::vector<Batch> all_stages(ImageFolderDataModule& data) {
  return {read_all(data.train_dataloader()), read_all(data.val_dataloader()),
          read_all(data.test_dataloader()), read_all(data.predict_dataloader())};
}

bool are_equal(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Batch& x, const Batch& y) {
    return x.input().equal(y.input()) && x.target().equal(y.target());
  });
}

TEST_F(ImageFolder, has_the_sets_of_its_folders_with_classes_numbered_as_in_training) {
  fill_sets();
  auto chosen = options();
  chosen.shuffle = false;
  ImageFolderDataModule data(chosen);
  const auto stages = all_stages(data);
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(stages[0].target().sum().item<int64_t>(), 7);
  EXPECT_EQ(stages[0].input().sizes(), (at::IntArrayRef{12, 3, 11, 9}));
  EXPECT_TRUE(stages[1].target().equal(torch::tensor({1, 1})));
  EXPECT_TRUE(stages[2].target().equal(torch::tensor({0, 0, 0})));
  const auto image = readers::with_channels(readers::read_image(root_ / "train/cat/0.png"), 3);
  const auto bytes =
      torch::from_blob(const_cast<std::byte*>(image.pixels.data()), {11, 9, 3}, torch::kByte);
  EXPECT_TRUE(stages[0].input()[0].allclose(bytes.permute({2, 0, 1}) / 255.0F));
}

TEST_F(ImageFolder, gives_the_same_bits_from_the_cache_and_from_files_for_any_number_of_workers) {
  fill_sets();
  std::vector<Batch> first;
  for (const int64_t cache_mb : {1, 0}) {
    for (const int64_t workers : {0, 3}) {
      auto chosen = options();
      chosen.image_size = {6, 5};
      chosen.batch_size = 4;
      chosen.num_workers = workers;
      chosen.cache_mb = cache_mb;
      chosen.sampling = "stratified";
      ImageFolderDataModule data(chosen);
      auto stages = all_stages(data);
      EXPECT_EQ(stages[0].input().sizes(), (at::IntArrayRef{12, 3, 6, 5}));
      if (first.empty()) first = stages;
      EXPECT_TRUE(are_equal(first, stages)) << cache_mb << ", " << workers;
    }
  }
}

TEST_F(ImageFolder, a_fit_resumes_and_ends_with_the_same_bits) {
  fill_sets();
  const test::TemporaryFolder runs;
  const auto train = [&](int64_t max_steps, const std::string& from) {
    seed_everything(from.empty() ? 2 : 8);
    auto chosen = options();
    chosen.batch_size = 3;
    chosen.num_workers = 1;
    chosen.cache_mb = 0;
    chosen.transforms = {"random_horizontal_flip"};
    ImageFolderDataModule data(chosen);
    MLP model({.hidden_sizes = {3}});
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 3,
                     .max_steps = max_steps,
                     .threads = 1,
                     .default_root_dir = runs.string()});
    trainer.fit(model, data, from);
    trainer.save_checkpoint(runs / "end.ckpt");
    return model.state_dict().clone();
  };
  const auto whole = train(-1, "");
  train(6, "");  // of four steps an epoch
  const auto resumed = train(-1, (runs / "end.ckpt").string());
  for (const auto& [name, tensor] : whole.tensors) {
    EXPECT_TRUE(tensor.equal(resumed.tensor(name))) << name;
  }
}

TEST_F(ImageFolder, splits_one_folder_of_classes_by_shares) {
  fill("cat", 10);
  fill("dog", 10);
  auto chosen = options();
  chosen.val_split = 0.2;
  chosen.test_split = 0.1;
  chosen.stratify = true;
  chosen.channels = 1;
  ImageFolderDataModule data(chosen);
  const auto stages = all_stages(data);
  EXPECT_EQ(stages[0].input().sizes(), (at::IntArrayRef{14, 1, 11, 9}));
  EXPECT_EQ(stages[1].target().sum().item<int64_t>(), 2);
  EXPECT_EQ(stages[1].input().size(0), 4);
  EXPECT_EQ(stages[2].input().size(0), 2);
}

TEST_F(ImageFolder, predicts_a_flat_folder_and_names_its_files) {
  fill_sets();
  fill("predict", 3);
  ImageFolderDataModule data(options());
  const auto batch = read_all(data.predict_dataloader());
  EXPECT_EQ(batch.input().size(0), 3);
  EXPECT_FALSE(batch.has("target"));
  EXPECT_EQ(data.prediction_keys().texts, (std::vector<std::string>{"0.png", "1.png", "2.png"}));
  fs::remove_all(root_ / "predict");
  ImageFolderDataModule tested(options());
  read_all(tested.predict_dataloader());
  EXPECT_EQ(tested.prediction_keys().texts.back(), "test/cat/2.png");
}

TEST_F(ImageFolder, takes_classes_and_size_from_the_trained_model) {
  fill_sets();
  ImageFolderDataModule trained(options());
  trained.setup(Stage::fit);
  const auto state = trained.fitted_state();

  fs::remove_all(root_ / "train");
  fs::remove_all(root_ / "test");
  ImageFolderDataModule alone(options());
  alone.load_fitted_state(state);
  EXPECT_TRUE(read_all(alone.val_dataloader()).target().equal(torch::tensor({1, 1})));

  auto grey = options();
  grey.channels = 1;
  EXPECT_SAYS(
      message_of<ConfigError>([&] { ImageFolderDataModule(grey).load_fitted_state(state); }),
      "the model was trained with channels = 3");
  fill("val/owl", 1);
  ImageFolderDataModule other(options());
  other.load_fitted_state(state);
  EXPECT_SAYS(message_of<DataError>([&] { other.setup(Stage::validate); }), "owl");
}

TEST_F(ImageFolder, refuses_images_of_another_size_and_damaged_ones_by_name) {
  fill_sets();
  test::write_text(root_ / "train/dog/broken.jpg", files_[0].substr(0, 90));
  for (const int64_t cache_mb : {1, 0}) {
    auto chosen = options();
    chosen.cache_mb = cache_mb;
    ImageFolderDataModule data(chosen);
    EXPECT_SAYS(message_of<DataError>([&] { read_all(data.train_dataloader()); }), "broken.jpg");
  }
  fs::remove(root_ / "train/dog/broken.jpg");
  auto chosen = options();
  chosen.image_size = {4};
  ImageFolderDataModule small(chosen);
  small.setup(Stage::fit);
  auto state = small.fitted_state();
  state.values["image_folder"]["resizes"] = false;
  ImageFolderDataModule strict(options());
  strict.load_fitted_state(state);
  const auto message = message_of<DataError>([&] { strict.setup(Stage::fit); });
  EXPECT_SAYS(message, "9x11 (width x height)");
  EXPECT_SAYS(message, "set image_size");
}

TEST_F(ImageFolder, refuses_options_that_cannot_be) {
  EXPECT_THROW(ImageFolderDataModule({}), ConfigError);
  EXPECT_THROW(ImageFolderDataModule({.data_dir = "x", .channels = 4}), ConfigError);
  EXPECT_THROW(ImageFolderDataModule({.data_dir = "x", .image_size = {0}}), ConfigError);
  EXPECT_THROW(ImageFolderDataModule({.data_dir = "x", .sampling = "weighted"}), ConfigError);
  EXPECT_THROW(ImageFolderDataModule({.data_dir = "x", .val_split = 0.8, .test_split = 0.4}),
               ConfigError);
}

}  // namespace levin::image_folder_test
