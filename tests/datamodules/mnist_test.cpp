#include <levin/datamodules/mnist.h>

#include "datamodules/readers/http_server.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "framework/without_root.h"

#include <torch/torch.h>

#include <cstdlib>
#include <set>

#include <levin/framework/core/error.h>

namespace levin::mnist_test {

namespace fs = std::filesystem;

using test::read_file;
using test::TemporaryFolder;
using test::write_text;

constexpr const char* kFiles[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                  "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/// The folder with MNIST's files as the environment names it; empty where it doesn't.
std::string mnist_dir() {
  const char* folder = std::getenv("MNIST_DIR");
  return folder == nullptr ? "" : folder;
}

#define NEEDS_MNIST()                                                  \
  if (mnist_dir().empty())                                             \
  GTEST_SKIP() << "MNIST_DIR isn't set: it names the folder with the " \
                  "four files of MNIST"

std::string data_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

MNISTDataModuleOptions local(MNISTDataModuleOptions options = {}) {
  options.data_dir = mnist_dir();
  options.download = false;
  return options;
}

Batch first_batch(const DataLoaders& loaders) {
  auto reader = loaders.front().open();
  Batch batch;
  reader.next(batch);
  return batch;
}

std::vector<int64_t> row_ids(const DataLoaders& loaders) {
  std::vector<int64_t> ids;
  auto reader = loaders.front().open();
  Batch batch;
  while (reader.next(batch)) {
    ids.insert(ids.end(), batch.row_ids().begin(), batch.row_ids().end());
  }
  return ids;
}

// row 14
TEST(MNIST, is_60000_images_to_train_on_and_10000_to_test_on_of_784_pixels) {
  NEEDS_MNIST();
  MNISTDataModule data(local({.batch_size = 100, .flatten = true}));
  data.prepare_data();
  data.setup(Stage::fit);
  data.setup(Stage::test);
  EXPECT_EQ(data.train_dataloader().front().dataset().size(), 48000);
  EXPECT_EQ(data.val_dataloader().front().dataset().size(), 12000);
  EXPECT_EQ(data.test_dataloader().front().dataset().size(), 10000);
  EXPECT_EQ(data.predict_dataloader().front().dataset().size(), 10000);
  const auto batch = first_batch(data.test_dataloader());
  EXPECT_EQ(batch.input().sizes(), (std::vector<int64_t>{100, 784}));
  EXPECT_EQ(batch.input().min().item<float>(), 0.0F);
  EXPECT_EQ(batch.input().max().item<float>(), 1.0F);
  // The first ten labels of the test file.
  EXPECT_TRUE(batch.target().narrow(0, 0, 10).equal(torch::tensor({7, 2, 1, 0, 4, 1, 4, 9, 5, 9})));
  EXPECT_EQ(data.num_classes(), 10);
}

// row 14
TEST(MNIST, normalises_with_any_mean_and_std) {
  NEEDS_MNIST();
  const auto plain = first_batch(MNISTDataModule(local({.batch_size = 10000})).test_dataloader());
  EXPECT_EQ(plain.input().sizes(), (std::vector<int64_t>{10000, 1, 28, 28}));
  const auto bolts = first_batch(
      MNISTDataModule(local({.batch_size = 10000, .normalize = true})).test_dataloader());
  EXPECT_EQ(bolts.input().min().item<float>(), -1.0F);
  EXPECT_EQ(bolts.input().max().item<float>(), 1.0F);
  const auto own = first_batch(
      MNISTDataModule(
          local({.batch_size = 10000, .normalize = true, .mean = 0.1307, .std = 0.3081}))
          .test_dataloader());
  EXPECT_TRUE(own.input().allclose((plain.input() - 0.1307) / 0.3081, 1e-5, 1e-5));
}

TEST(MNIST, bytes_and_floats_in_memory_give_the_same_batches) {
  NEEDS_MNIST();
  for (const bool normalize : {false, true}) {
    auto options = local({.batch_size = 1000, .normalize = normalize});
    const auto bytes = first_batch(MNISTDataModule(options).test_dataloader());
    options.storage = "float32";
    const auto floats = first_batch(MNISTDataModule(options).test_dataloader());
    EXPECT_EQ(bytes.input().scalar_type(), torch::kFloat);
    EXPECT_LE((bytes.input() - floats.input()).abs().max().item<float>(), 1.2e-7F);
    EXPECT_TRUE(bytes.target().equal(floats.target()));
  }
}

// row 15: random 20 % validation indices from a seed; batches of 100
TEST(MNIST, validation_rows_are_a_random_fifth_from_a_seed_in_batches_of_100) {
  NEEDS_MNIST();
  MNISTDataModule data(local({.val_split = 0.2, .batch_size = 100, .seed = 1}));
  EXPECT_EQ(*data.val_dataloader().front().size(), 120);
  EXPECT_EQ(*data.train_dataloader().front().size(), 480);
  const auto val = row_ids(data.val_dataloader());
  const auto train = row_ids(data.train_dataloader());
  std::set<int64_t> all(val.begin(), val.end());
  EXPECT_EQ(all.size(), 12000U);
  all.insert(train.begin(), train.end());
  EXPECT_EQ(all.size(), 60000U);
  EXPECT_EQ(*all.begin(), 0);
  EXPECT_EQ(*all.rbegin(), 59999);
  EXPECT_FALSE(std::is_sorted(val.begin(), val.end()));
  EXPECT_EQ(val, row_ids(MNISTDataModule(local({.seed = 1})).val_dataloader()));
  EXPECT_NE(val, row_ids(MNISTDataModule(local({.seed = 2})).val_dataloader()));
}

TEST(MNIST, validation_images_can_be_counted) {
  NEEDS_MNIST();
  MNISTDataModule data(local({.val_split = 5000}));
  EXPECT_EQ(data.val_dataloader().front().dataset().size(), 5000);
  EXPECT_EQ(data.train_dataloader().front().dataset().size(), 55000);
  MNISTDataModule none(local({.val_split = 0}));
  EXPECT_TRUE(none.val_dataloader().empty());
  EXPECT_EQ(none.train_dataloader().front().dataset().size(), 60000);
}

// row 14: obtain and verify, from the second mirror where the first fails, then go on offline
TEST(MNIST, downloads_what_is_missing_from_the_first_mirror_that_delivers) {
  NEEDS_MNIST();
  TemporaryFolder folder;
  const std::string into = folder / "new" / "mnist";
  MNISTDataModule data(
      {.data_dir = into, .mirrors = {"file:///nowhere/", "file://" + mnist_dir()}});
  data.prepare_data();
  for (const char* name : kFiles)
    EXPECT_TRUE(fs::exists(fs::path(into) / (std::string(name) + ".gz")));
  MNISTDataModule offline({.data_dir = into, .download = false, .mirrors = {}});
  offline.prepare_data();
  offline.setup(Stage::test);
  EXPECT_EQ(offline.test_dataloader().front().dataset().size(), 10000);
}

// row 14
TEST(MNIST, goes_on_with_what_a_broken_download_left) {
  NEEDS_MNIST();
  TemporaryFolder folder;
  test::HttpServer server;
  for (const char* name : kFiles) {
    const auto archive = std::string(name) + ".gz";
    const auto bytes = read_file(fs::path(mnist_dir()) / archive);
    write_text(folder / (archive + ".part"), bytes.substr(0, 1000));
    server.serve("/mnist/" + archive, {.body = bytes});
  }
  MNISTDataModule data({.data_dir = folder.path(), .mirrors = {server.url("/mnist")}});
  data.prepare_data();
  ASSERT_EQ(server.requests().size(), 4U);
  for (const auto& request : server.requests()) EXPECT_EQ(request.range, "bytes=1000-");
  data.setup(Stage::test);
  EXPECT_EQ(data.test_dataloader().front().dataset().size(), 10000);
}

TEST(MNIST, a_mirror_with_other_bytes_is_refused) {
  TemporaryFolder folder;
  const auto mirror = folder / "mirror";
  fs::create_directory(mirror);
  for (const char* name : kFiles) write_text(mirror / (std::string(name) + ".gz"), "not MNIST");
  MNISTDataModule data({.data_dir = folder / "data", .mirrors = {"file://" + mirror.string()}});
  EXPECT_SAYS(data_error([&] { data.prepare_data(); }), "train-images-idx3-ubyte.gz");
  EXPECT_FALSE(fs::exists(folder / "data" / "train-images-idx3-ubyte.gz"));
}

TEST(MNIST, a_folder_that_may_not_be_looked_into_is_not_said_to_lack_files) {
  TemporaryFolder folder;
  fs::create_directories(folder / "data");
  fs::permissions(folder.path(), fs::perms(0755));  // so that `data` is what refuses
  fs::permissions(folder / "data", fs::perms::none);
  MNISTDataModule data({.data_dir = folder / "data", .download = false});
  {
    const test::WithoutRoot without_root;
    EXPECT_SAYS(data_error([&] { data.prepare_data(); }), "Permission denied");
  }
  fs::permissions(folder / "data", fs::perms::owner_all);
}

TEST(MNIST, missing_files_are_named_with_what_to_do) {
  TemporaryFolder folder;
  MNISTDataModule data({.data_dir = folder.path(), .download = false});
  const auto expected = [&](const std::string& name) {
    std::string dotted = name;
    dotted[dotted.find("-idx")] = '.';
    return name + " is missing: neither it nor " + name + ".gz nor " + dotted + " is in '" +
           folder.string() + "' or '" + (folder / "MNIST/raw").string() +
           "'; put the four files of MNIST in data_dir, or set download = true, so that "
           "prepare_data downloads them";
  };
  EXPECT_EQ(data_error([&] { data.prepare_data(); }), expected("train-images-idx3-ubyte"));
  EXPECT_EQ(data_error([&] { data.setup(Stage::test); }), expected("t10k-images-idx3-ubyte"));
}

// trials 14: the names in Kaggle's archive.
TEST(MNIST, files_with_a_dot_before_idx_are_found_and_not_downloaded_again) {
  TemporaryFolder folder;
  for (const char* name :
       {"train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz", "MNIST/raw/t10k-images.idx3-ubyte",
        "t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte"}) {
    fs::create_directories((folder / name).parent_path());
    write_text(folder / name, "not MNIST");
  }
  MNISTDataModule data({.data_dir = folder.path(), .download = false});
  EXPECT_EQ(data_error([&] { data.prepare_data(); }), "no DataError");
  EXPECT_SAYS(data_error([&] { data.setup(Stage::fit); }), "train-images.idx3-ubyte' is damaged");
  EXPECT_SAYS(data_error([&] { data.setup(Stage::test); }), "t10k-images.idx3-ubyte' is damaged");
}

TEST(MNIST, altered_truncated_and_foreign_files_are_refused_and_kept) {
  TemporaryFolder folder;
  const auto images = folder / "t10k-images-idx3-ubyte";
  MNISTDataModule data({.data_dir = folder.path(), .download = false});
  const auto try_bytes = [&](std::string_view bytes) {
    write_text(images, bytes);
    return data_error([&] { data.setup(Stage::test); });
  };
  EXPECT_SAYS(try_bytes("no images"),
              ", but those of MNIST have "
              "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7; remove it and "
              "download it again");
  EXPECT_SAYS(try_bytes(std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x7f", 17)),
              "SHA-256");
  EXPECT_SAYS(try_bytes("\x1f\x8b\x08 broken"), "t10k-images-idx3-ubyte");
  EXPECT_TRUE(fs::exists(images));
}

TEST(MNIST, options_that_cannot_be_are_refused) {
  const auto make = [](MNISTDataModuleOptions options) {
    MNISTDataModule data(std::move(options));
  };
  const auto refusal = [&](MNISTDataModuleOptions options) {
    return test::message_of<ConfigError>([&] { make(options); });
  };
  EXPECT_EQ(refusal({.val_split = 1.0}),
            "val_split = 1: must be a number of images from 0 to 59999, or a share of at least 0 "
            "and less than 1");
  EXPECT_THROW(make({.val_split = -0.1}), ConfigError);
  EXPECT_THROW(make({.val_split = 60000}), ConfigError);
  EXPECT_THROW(make({.val_split = -1}), ConfigError);
  EXPECT_EQ(refusal({.val_split = 1e-9}),
            "val_split = 1e-09: of 60000 images it comes to 0 after rounding; raise it, or set it "
            "to 0");
  EXPECT_THROW(make({.normalize = true, .std = 0.0}), ConfigError);
  EXPECT_THROW(make({.mean = 0.1307, .std = 0.3081}), ConfigError) << "without normalize";
  EXPECT_THROW(make({.storage = "float16"}), ConfigError);
  EXPECT_NO_THROW(make({.val_split = 0.0}));
}

// row 34
TEST(MNIST, a_tilde_is_the_home_folder_and_other_variables_are_refused) {
  const char* const home = std::getenv("HOME");
  if (home == nullptr) GTEST_SKIP() << "HOME isn't set";
  const MNISTDataModule data({.data_dir = "~/mnist"});
  EXPECT_EQ(data.hyper_parameters().at("data_dir"), Value(std::string(home) + "/mnist"));
  EXPECT_THROW(MNISTDataModule({.data_dir = "$SCRATCH/mnist"}), ConfigError);
}

TEST(MNIST, classes_are_named_by_their_digits) {
  const auto names = MNISTDataModule().class_names();
  ASSERT_EQ(names.size(), 10U);
  EXPECT_EQ(names.front(), "0");
  EXPECT_EQ(names.back(), "9");
}

TEST(MNIST, hyper_parameters_are_its_options) {
  const auto settings = MNISTDataModule({.val_split = 5000, .normalize = true}).hyper_parameters();
  EXPECT_EQ(settings.at("val_split").as_int(), 5000);
  EXPECT_EQ(settings.at("normalize").as_bool(), true);
  EXPECT_EQ(settings.at("mirrors").as_array().size(), 2U);
}

TEST(MNIST, pixels_must_be_normalized_as_in_training) {
  MNISTDataModule trained({.normalize = true, .mean = 0.1307, .std = 0.3081});
  const auto state = trained.fitted_state();
  EXPECT_NO_THROW(trained.load_fitted_state(state));
  EXPECT_EQ(test::message_of<ConfigError>([&] { MNISTDataModule().load_fitted_state(state); }),
            "the model was trained with normalize = true, mean = 0.1307 and std = 0.3081, but here "
            "it is normalize = false; set the same values, so that pixels have the same meaning");
  MNISTDataModule plain;
  EXPECT_NO_THROW(plain.load_fitted_state(MNISTDataModule({.storage = "float32"}).fitted_state()));
}

}  // namespace levin::mnist_test
