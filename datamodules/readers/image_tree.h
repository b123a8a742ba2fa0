#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace levin::readers {

/// The image files of a folder, and their classes.
struct ImageTree {
  /// The names of the classes, in ascending order of their bytes; empty if there are none.
  std::vector<std::string> classes{};
  /// The files, and the class of each as its number in `classes`; no numbers without classes.
  std::vector<std::filesystem::path> files{};
  std::vector<int64_t> labels{};
};

/// Whether the name of a file ends in .png, .jpg or .jpeg, in capitals or not, and doesn't begin
/// with a dot, as the names of files do that macOS leaves beside others.
bool is_image_name(const std::filesystem::path& path);

/// Lists `folder`, in which each folder is a class and has images in it, at any depth. Other files
/// and folders whose names begin with a dot are passed over. The order is that of the classes, then
/// of the folders within them, then of the names. `but_not` are names of folders that are no
/// classes. Throws DataError if the folder can't be read, if it has no class, and for a class
/// without images, by name. torchvision: ImageFolder.
ImageTree list_image_classes(const std::filesystem::path& folder,
                             const std::vector<std::string>& but_not = {});

/// Lists the images that lie directly in `folder`, in ascending order of their names, without
/// classes. Throws DataError if the folder can't be read.
ImageTree list_images(const std::filesystem::path& folder);

}  // namespace levin::readers
