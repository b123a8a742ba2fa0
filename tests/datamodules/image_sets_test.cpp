#include <levin/datamodules/cifar.h>
#include <levin/datamodules/fashion_mnist.h>

#include "datamodules/readers/gzip_support.h"
#include "datamodules/readers/http_server.h"
#include "datamodules/readers/support.h"
#include "datamodules/readers/tar_support.h"
#include "framework/message_of.h"

#include <torch/torch.h>

#include <set>

#include <levin/datamodules/readers/digest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/mlp.h>

// Images in the formats of FashionMNIST and CIFAR, in files that the tests make.

namespace levin::image_sets_test {

namespace fs = std::filesystem;

using test::gzipped;
using test::message_of;
using test::tar_member;
using test::TemporaryFolder;
using test::write_text;

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

std::string sha256(const std::string& bytes) {
  return readers::digest_hex(readers::DigestKind::sha256, test::to_bytes(bytes));
}

// --- CIFAR's format ------------------------------------------------------------------------------

/// `rows` images, whose first byte is the number of the image, counted from `first`, and whose
/// others are its place among the pixels.
std::string cifar_images(int first, int rows, bool two_labels) {
  std::string bytes;
  for (int i = first; i < first + rows; ++i) {
    if (two_labels) bytes += static_cast<char>(i % 3);
    bytes += static_cast<char>(i % 7);
    bytes += static_cast<char>(i);
    for (int pixel = 1; pixel < 3072; ++pixel) bytes += static_cast<char>(pixel / 16);
  }
  return bytes;
}

/// A set in CIFAR's format of 10 images to train on, in two files, and 4 to test on.
struct SmallCifar {
  explicit SmallCifar(bool two_labels = false)
      : files{{"data_batch_1.bin", cifar_images(0, 6, two_labels)},
              {"data_batch_2.bin", cifar_images(6, 4, two_labels)},
              {"test_batch.bin", cifar_images(10, 4, two_labels)}} {
    std::string tar = tar_member("small/", "", '5') + tar_member("small/readme.html", "<html>");
    for (const auto& [name, bytes] : files) tar += tar_member("small/" + name, bytes);
    archive = gzipped(tar + std::string(1024, '\0'));
    const auto file = [this](size_t i) {
      return CifarFile{files[i].first, sha256(files[i].second)};
    };
    description = {.title = "small CIFAR",
                   .archive = "small.tar.gz",
                   .archive_sha256 = sha256(archive),
                   .folder = "small",
                   .train = {file(0), file(1)},
                   .test = {file(2)},
                   .label_bytes = two_labels ? 2 : 1,
                   .label_index = 0,
                   .num_classes = two_labels ? 3 : 7};
  }
  std::vector<std::pair<std::string, std::string>> files;
  std::string archive;
  CifarDescription description;
};

class SmallImages : public ImageSetDataModule {
 public:
  SmallImages(const CifarDescription& files, ImageSetSettings settings,
              DataLoaderOptions loader = {.batch_size = 4})
      : ImageSetDataModule({.key = "small",
                            .train_rows = 10,
                            .shape = {3, 32, 32},
                            .files = std::make_shared<CifarFiles>(files)},
                           std::move(settings), std::move(loader)) {}
};

Batch all_rows(const DataLoaders& loaders) {
  auto reader = loaders.front().with_global_batch_size(1000).open();
  Batch batch;
  reader.next(batch);
  return batch;
}

TEST(CifarImages, are_read_from_the_archive_as_bytes_and_handed_out_from_0_to_1) {
  const TemporaryFolder folder;
  const SmallCifar small;
  write_text(folder / "small.tar.gz", small.archive);
  SmallImages data(small.description, {.data_dir = folder.string(), .val_split = 3});
  data.prepare_data();
  EXPECT_EQ(*data.train_dataloader().front().dataset().size(), 7);
  EXPECT_EQ(*data.val_dataloader().front().dataset().size(), 3);
  const auto test = all_rows(data.test_dataloader());
  EXPECT_EQ(test.input().sizes(), (std::vector<int64_t>{4, 3, 32, 32}));
  EXPECT_EQ(test.input().scalar_type(), torch::kFloat);
  EXPECT_TRUE(test.target().equal(torch::tensor({3, 4, 5, 6})));
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(test.input()[i][0][0][0].item<float>(), static_cast<float>(10 + i) / 255.0F);
  }
  EXPECT_FLOAT_EQ(test.input()[0][2][31][31].item<float>(), 191.0F / 255.0F) << "byte 3071";
  EXPECT_FLOAT_EQ(test.input()[0][1][0][0].item<float>(), 64.0F / 255.0F) << "green follows red";
  const auto memory = find_in_memory(data.test_dataloader().front().shared_dataset());
  EXPECT_EQ(memory.tensors->entries()[0].second.source().scalar_type(), torch::kByte);
  std::set<int64_t> labels;
  for (const auto& loaders : {data.train_dataloader(), data.val_dataloader()}) {
    const auto rows = all_rows(loaders);
    for (int64_t i = 0; i < rows.rows(); ++i) {
      const auto number = std::lround(rows.input()[i][0][0][0].item<float>() * 255.0F);
      EXPECT_EQ(rows.target()[i].item<int64_t>(), number % 7);
      EXPECT_EQ(rows.row_ids()[static_cast<size_t>(i)], number) << "the order of the files";
      labels.insert(number);
    }
  }
  EXPECT_EQ(labels.size(), 10U);
}

TEST(CifarImages, are_read_from_unpacked_files_too) {
  const SmallCifar small(/*two_labels=*/true);
  for (const char* inner : {"small", ""}) {
    const TemporaryFolder folder;
    fs::create_directories(folder / inner);
    for (const auto& [name, bytes] : small.files) write_text(folder / inner / name, bytes);
    SmallImages data(small.description, {.data_dir = folder.string(), .download = false});
    data.prepare_data();
    EXPECT_TRUE(all_rows(data.test_dataloader()).target().equal(torch::tensor({1, 2, 0, 1})))
        << "the first of two labels";
  }
  auto fine = small.description;
  fine.label_index = 1;
  fine.num_classes = 7;
  const TemporaryFolder folder;
  write_text(folder / "small.tar.gz", small.archive);
  SmallImages data(fine, {.data_dir = folder.string(), .flatten = true});
  EXPECT_TRUE(all_rows(data.test_dataloader()).target().equal(torch::tensor({3, 4, 5, 6})));
  EXPECT_EQ(data.dims(), std::vector<int64_t>{3072});
}

TEST(CifarImages, the_archive_is_downloaded_and_a_broken_download_goes_on) {
  const TemporaryFolder folder;
  const SmallCifar small;
  test::HttpServer server;
  server.serve("/kriz/small.tar.gz", {.body = small.archive});
  write_text(folder / "small.tar.gz.part", small.archive.substr(0, 100));
  SmallImages data(small.description, {.data_dir = folder.string(),
                                       .mirrors = {"file:///nowhere/", server.url("/kriz")}});
  data.prepare_data();
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0].range, "bytes=100-");
  data.prepare_data();
  EXPECT_EQ(server.requests().size(), 1U) << "what is there is kept";
  EXPECT_EQ(all_rows(data.test_dataloader()).rows(), 4);
}

TEST(CifarImages, missing_and_altered_files_are_refused_with_what_to_do) {
  const TemporaryFolder folder;
  SmallCifar small;
  const auto error = [&](bool prepare) {
    return message_of<DataError>([&] {
      SmallImages data(small.description, {.data_dir = folder.string(), .download = false});
      prepare ? data.prepare_data() : data.setup(Stage::fit);
    });
  };
  const std::string missing =
      "small.tar.gz is missing: neither it nor the folder small with its "
      "files is in '" +
      folder.string() + "'; put one of them into data_dir";
  EXPECT_SAYS(error(true), missing);
  EXPECT_SAYS(error(false), missing);
  write_text(folder / "small.tar.gz", gzipped(tar_member("small/data_batch_1.bin", "altered")));
  EXPECT_SAYS(error(false),
              "small/data_batch_1.bin' is damaged or of another format: its bytes have SHA-256");
  write_text(folder / "small.tar.gz", gzipped(tar_member("other", "x")));
  EXPECT_SAYS(error(false), "it has no file small/data_batch_1.bin");
  const std::string cut = cifar_images(0, 1, false).substr(1);
  small.description.test = {{"t.bin", sha256(cut)}};
  write_text(folder / "t.bin", cut);
  EXPECT_SAYS(message_of<DataError>([&] {
                SmallImages(small.description, {.data_dir = folder.string()}).setup(Stage::test);
              }),
              "it has 3072 bytes, which isn't a number of images of 3073 bytes each");
  small.description.test = {{"u.bin", sha256('\x09' + cut)}};
  write_text(folder / "u.bin", '\x09' + cut);
  EXPECT_SAYS(message_of<DataError>([&] {
                SmallImages(small.description, {.data_dir = folder.string()}).setup(Stage::test);
              }),
              "small CIFAR has the classes 0 to 6");
}

TEST(CifarImages, sets_have_their_names_and_shapes) {
  EXPECT_EQ(CIFAR10DataModule().dims(), (std::vector<int64_t>{3, 32, 32}));
  EXPECT_EQ(CIFAR10DataModule().class_names().size(), 10U);
  EXPECT_EQ(CIFAR100DataModule().class_names().size(), 100U);
  EXPECT_EQ(CIFAR100DataModule().num_classes(), 100);
  CIFAR100DataModule coarse({.coarse_labels = true});
  EXPECT_EQ(coarse.class_names().size(), 20U);
  EXPECT_EQ(coarse.num_classes(), 20);
  EXPECT_EQ(coarse.hyper_parameters().at("coarse_labels"), Value(true));
  EXPECT_EQ(message_of<ConfigError>([] { CIFAR10DataModule({.val_split = 50000}); }),
            "val_split = 50000: must be a number of images from 0 to 49999, or a share of at least "
            "0 and less than 1");
}

TEST(CifarImages, a_fit_with_random_transforms_resumes_and_ends_with_the_same_bits) {
  const TemporaryFolder folder;
  const SmallCifar small;
  write_text(folder / "small.tar.gz", small.archive);
  const auto train = [&](int64_t max_steps, const std::string& from) {
    seed_everything(from.empty() ? 2 : 8);
    SmallImages data(small.description,
                     {.data_dir = folder.string(),
                      .val_split = 3,
                      .standardize = true,
                      .transforms = {{"random_crop", Value(Value::Object{{"padding", 2}})},
                                     "random_horizontal_flip"}},
                     {.batch_size = 2, .shuffle = true, .num_workers = 1});
    MLP model({.num_classes = 7, .hidden_sizes = {3}});
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = 3,
                     .max_steps = max_steps,
                     .threads = 1,
                     .default_root_dir = folder.string()});
    trainer.fit(model, data, from);
    trainer.save_checkpoint(folder / "end.ckpt");
    return model.state_dict().clone();
  };
  const auto whole = train(-1, "");
  train(6, "");  // of four steps an epoch
  const auto resumed = train(-1, (folder / "end.ckpt").string());
  for (const auto& [name, tensor] : whole.tensors) {
    EXPECT_TRUE(tensor.equal(resumed.tensor(name))) << name;
  }
}

// --- IDX -----------------------------------------------------------------------------------------

std::string idx(std::vector<int> shape, const std::string& content) {
  std::string bytes("\0\0\x08", 3);
  bytes += static_cast<char>(shape.size());
  for (const int size : shape) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift);
  }
  return bytes + content;
}

class SmallIdx : public ImageSetDataModule {
 public:
  SmallIdx(std::shared_ptr<const ImageFiles> files, ImageSetSettings settings)
      : ImageSetDataModule({.key = "idx", .train_rows = 4, .shape = {1, 2, 2}, .files = files},
                           without_validation(std::move(settings)), {.batch_size = 4}) {}

 private:
  static ImageSetSettings without_validation(ImageSetSettings settings) {
    settings.val_split = 0;
    return settings;
  }
};

/// Four IDX files of 2x2 pixels: 4 images to train on, 3 to test on.
struct SmallIdxFiles {
  std::vector<std::pair<std::string, std::string>> files{
      {"train-images-idx3-ubyte", idx({4, 2, 2}, "abcdefghijklmnop")},
      {"train-labels-idx1-ubyte", idx({4}, std::string("\3\2\1\0", 4))},
      {"t10k-images-idx3-ubyte", idx({3, 2, 2}, "ABCDEFGHIJKL")},
      {"t10k-labels-idx1-ubyte", idx({3}, std::string("\1\2\3", 3))}};
  std::shared_ptr<const ImageFiles> described(bool by_archive) const {
    const auto file = [&](size_t i) {
      return by_archive ? IdxImageFile{files[i].first, "", sha256(gzipped(files[i].second))}
                        : IdxImageFile{files[i].first, sha256(files[i].second), ""};
    };
    return std::make_shared<IdxImageFiles>("small", "small/raw", file(0), file(1), file(2),
                                           file(3));
  }
};

TEST(IdxImages, checksums_are_those_of_archives_or_of_what_is_in_them) {
  const SmallIdxFiles small;
  for (const bool by_archive : {false, true}) {
    const TemporaryFolder folder;
    test::HttpServer server;
    for (const auto& [name, bytes] : small.files) {
      server.serve("/m/" + name + ".gz", {.body = gzipped(bytes)});
    }
    SmallIdx data(small.described(by_archive),
                  {.data_dir = folder.string(), .mirrors = {server.url("/m/")}, .val_split = 0});
    data.prepare_data();
    EXPECT_EQ(server.requests().size(), 4U);
    const auto test = all_rows(data.test_dataloader());
    EXPECT_TRUE(test.target().equal(torch::tensor({1, 2, 3})));
    EXPECT_FLOAT_EQ(test.input()[2][0][1][1].item<float>(), 'L' / 255.0F);
    EXPECT_EQ(all_rows(data.train_dataloader()).rows(), 4);

    const auto images = folder / "t10k-images-idx3-ubyte.gz";
    write_text(images, gzipped(idx({3, 2, 2}, "ABCDEFGHIJKX")));
    SmallIdx altered(small.described(by_archive), {.data_dir = folder.string()});
    EXPECT_SAYS(message_of<DataError>([&] { altered.setup(Stage::test); }),
                by_archive ? "its bytes have SHA-256" : "its uncompressed bytes have SHA-256");
  }
}

TEST(IdxImages, unpacked_files_without_a_checksum_must_have_the_sets_shape_and_rows) {
  const SmallIdxFiles small;
  const TemporaryFolder folder;
  fs::create_directories(folder / "small/raw");
  for (const auto& [name, bytes] : small.files) write_text(folder / "small/raw" / name, bytes);
  const auto files = small.described(/*by_archive=*/true);
  SmallIdx data(files, {.data_dir = folder.string(), .download = false});
  data.prepare_data();
  EXPECT_EQ(all_rows(data.test_dataloader()).rows(), 3);
  const auto fault = [&](const std::string& name, const std::string& bytes, Stage stage) {
    write_text(folder / "small/raw" / name, bytes);
    SmallIdx other(files, {.data_dir = folder.string()});
    return message_of<DataError>([&] { other.setup(stage); });
  };
  EXPECT_SAYS(fault("t10k-images-idx3-ubyte", idx({3, 2, 1}, "ABCDEF"), Stage::test),
              "the images of this set have the shape [1, 2, 2]");
  EXPECT_SAYS(fault("t10k-labels-idx1-ubyte", idx({2}, "\1\1"), Stage::test), "rows");
  fault("train-labels-idx1-ubyte", idx({3}, "\1\1\1"), Stage::fit);
  EXPECT_SAYS(fault("train-images-idx3-ubyte", idx({3, 2, 2}, "ABCDEFGHIJKL"), Stage::fit),
              "this set has 4 of them");
}

TEST(FashionMNIST, is_looked_for_by_its_own_names_and_named_in_errors) {
  const TemporaryFolder folder;
  FashionMNISTDataModule data({.data_dir = folder.string(), .download = false});
  const auto message = message_of<DataError>([&] { data.prepare_data(); });
  EXPECT_SAYS(message, (folder / "FashionMNIST/raw").string());
  EXPECT_SAYS(message, "put the four files of FashionMNIST in data_dir");
  EXPECT_EQ(data.class_names()[9], "Ankle boot");
  EXPECT_TRUE(data.fitted_state().values.contains("fashion_mnist"));
  const auto mirror = folder / "mirror";
  fs::create_directory(mirror);
  write_text(mirror / "train-images-idx3-ubyte.gz", gzipped("not clothes"));
  FashionMNISTDataModule other(
      {.data_dir = folder / "data", .mirrors = {"file://" + mirror.string()}});
  EXPECT_SAYS(message_of<DataError>([&] { other.prepare_data(); }), "SHA-256");
  EXPECT_FALSE(fs::exists(folder / "data" / "train-images-idx3-ubyte.gz"));
}

}  // namespace levin::image_sets_test
