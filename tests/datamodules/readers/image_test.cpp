#include <levin/datamodules/readers/image.h>
#include <levin/datamodules/readers/image_tree.h>

#include <algorithm>
#include <cstdlib>

#include "datamodules/readers/support.h"

// Decoding PNG and JPEG files, and listing folders of them.

namespace levin::image_test {

using namespace readers;  // NOLINT
using test::expect_data_error;
using test::from_hex;
using test::TemporaryFolder;
using test::to_bytes;
using test::write_text;

const nlohmann::json& image_baselines() {
  static const nlohmann::json json =
      nlohmann::json::parse(test::read_file(LEVIN_SOURCE_DIR "/tests/baselines/images.json"));
  return json;
}

Bytes file_named(const std::string& name) {
  for (const auto& item : image_baselines()["files"]) {
    if (item["name"] == name) return test::file_of(item);
  }
  throw std::runtime_error("no file " + name);
}

/// How far the bytes are from those expected, at most; 999 if their numbers differ.
int greatest_difference(const Bytes& found, const Bytes& expected) {
  if (found.size() != expected.size()) return 999;
  int most = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    most = std::max(most,
                    std::abs(std::to_integer<int>(found[i]) - std::to_integer<int>(expected[i])));
  }
  return most;
}

TEST(Images, have_the_pixels_that_pillow_decodes) {
  for (const auto& item : image_baselines()["files"]) {
    const auto name = item["name"].get<std::string>();
    SCOPED_TRACE(name);
    const Image image = decode_image(test::file_of(item), name);
    EXPECT_EQ(image.height, item["height"].get<int64_t>());
    EXPECT_EQ(image.width, item["width"].get<int64_t>());
    EXPECT_EQ(image.channels, item["channels"].get<int64_t>());
    // Versions of libjpeg round differently; PNG says exactly what its pixels are.
    const int allowed = name.starts_with("JPEG") ? 2 : 0;
    EXPECT_LE(greatest_difference(with_channels(image, 3).pixels, from_hex(item["rgb"])), allowed);
    EXPECT_LE(greatest_difference(with_channels(image, 1).pixels, from_hex(item["grey"])), allowed);
  }
}

TEST(Images, are_resized_as_by_pillow) {
  const Image photo = decode_image(file_named("PNG, colours"), "photo");
  for (const auto& item : image_baselines()["resized"]) {
    const auto height = item["height"].get<int64_t>();
    const auto width = item["width"].get<int64_t>();
    SCOPED_TRACE(std::to_string(height) + "x" + std::to_string(width));
    const Image small =
        resized(with_channels(photo, item["channels"].get<int64_t>()), height, width);
    EXPECT_EQ(small.height, height);
    EXPECT_EQ(small.width, width);
    // Pillow 13 changes the height first here, with another rounding between the two.
    const int allowed = height < photo.height && width > photo.width ? 1 : 0;
    EXPECT_LE(greatest_difference(small.pixels, from_hex(item["pixels"])), allowed);
  }
}

TEST(Images, that_are_cut_short_are_refused_by_name) {
  for (const auto& item : image_baselines()["files"]) {
    const Bytes whole = test::file_of(item);
    for (size_t size = 0; size + 2 < whole.size(); size += 1 + whole.size() / 60) {
      const auto part = std::span(whole).first(size);
      expect_data_error([&] { decode_image(part, "cut.img"); }, "cut.img");
    }
  }
}

TEST(Images, that_are_damaged_are_decoded_or_refused_and_nothing_else) {
  for (const char* const name : {"PNG, palette of 4 bits", "PNG, interlaced, grey, 2 bits",
                                 "JPEG, grey", "JPEG, progressive"}) {
    Bytes file = file_named(name);
    size_t refused = 0;
    for (size_t at = 0; at < file.size(); ++at) {
      const auto old = file[at];
      for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
        file[at] = old ^ static_cast<std::byte>(flip);
        try {
          const Image image = decode_image(file, name);
          EXPECT_EQ(image.pixels.size(),
                    static_cast<size_t>(image.height * image.width * image.channels));
        } catch (const DataError&) {
          ++refused;
        }
      }
      file[at] = old;
    }
    EXPECT_GT(refused, file.size() / 4) << name;
  }
}

TEST(Images, with_more_pixels_than_their_bytes_can_hold_are_refused_before_memory_is_taken) {
  // The header of a JPEG has no checksum, so its size can be changed.
  Bytes jpeg = file_named("JPEG, 4:4:4");
  const Bytes mark = from_hex("ffc0001108");
  const auto frame = std::search(jpeg.begin(), jpeg.end(), mark.begin(), mark.end());
  ASSERT_NE(frame, jpeg.end());
  const auto set_size = [&](const std::string& height, const std::string& width) {
    const Bytes size = from_hex(height + width);
    std::copy(size.begin(), size.end(), frame + 5);
  };
  set_size("2710", "2710");
  expect_data_error([&] { decode_image(jpeg, "bomb.jpg"); },
                    "its header says 10000x10000 pixels (width x height), which a file of");
  set_size("ff00", "fe00");
  expect_data_error([&] { decode_image(jpeg, "bomb.jpg"); },
                    "its header says 65024x65280 pixels (width x height), but at most 134217728");
}

TEST(Images, of_other_formats_are_refused_by_name) {
  expect_data_error(
      [] { decode_image(to_bytes("GIF89a..."), "a/b.png"); },
      "'a/b.png' is damaged or of another format: it begins neither as a PNG nor as a JPEG");
  expect_data_error([] { decode_image({}, "a/b.png"); },
                    "'a/b.png' is damaged or of another format: it is empty");
  expect_data_error([] { read_image("/nowhere/c.png"); }, "/nowhere/c.png");
}

TEST(ImageTrees, have_the_sorted_classes_and_files_of_torchvisions_ImageFolder) {
  const TemporaryFolder folder;
  for (const char* const name : {"dog/b.PNG", "dog/a.jpeg", "dog/.hidden.png", "dog/notes.txt",
                                 "dog/puppies/1.jpg", "Cat/x.png", ".git/y.png", "loose.png"}) {
    std::filesystem::create_directories((folder / name).parent_path());
    write_text(folder / name, "");
  }
  const auto tree = list_image_classes(folder.path());
  EXPECT_EQ(tree.classes, (std::vector<std::string>{"Cat", "dog"}));
  EXPECT_EQ(tree.labels, (std::vector<int64_t>{0, 1, 1, 1}));
  EXPECT_EQ(tree.files, (std::vector<std::filesystem::path>{
                            folder / "Cat/x.png", folder / "dog/a.jpeg", folder / "dog/b.PNG",
                            folder / "dog/puppies/1.jpg"}));
  EXPECT_EQ(list_images(folder.path()).files,
            std::vector<std::filesystem::path>{folder / "loose.png"});
}

TEST(ImageTrees, without_images_are_refused_by_the_name_of_the_folder) {
  const TemporaryFolder folder;
  expect_data_error([&] { list_image_classes(folder.path()); }, folder.string() + " is empty");
  std::filesystem::create_directories(folder / "owl");
  expect_data_error([&] { list_image_classes(folder.path()); }, "owl is empty");
  expect_data_error([&] { list_image_classes(folder / "missing"); }, "missing");
}

}  // namespace levin::image_test
