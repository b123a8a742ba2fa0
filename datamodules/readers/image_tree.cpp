#include <levin/datamodules/readers/image_tree.h>

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>

namespace levin::readers {
namespace {

namespace fs = std::filesystem;

bool is_hidden_name(const fs::path& path) { return path.filename().native().starts_with('.'); }

/// By folder, then by name.
bool comes_before(const fs::path& a, const fs::path& b) {
  return std::make_tuple(a.parent_path().native(), a.filename().native()) <
         std::make_tuple(b.parent_path().native(), b.filename().native());
}

/// The images below `folder`, without an order.
std::vector<fs::path> images_below(const fs::path& folder) {
  std::vector<fs::path> files;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (auto entry = fs::recursive_directory_iterator(folder, options);
       entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->is_directory()) {
      if (is_hidden_name(entry->path())) entry.disable_recursion_pending();
    } else if (is_image_name(entry->path())) {
      files.push_back(entry->path());
    }
  }
  return files;
}

}  // namespace

bool is_image_name(const fs::path& path) {
  if (is_hidden_name(path)) return false;
  const auto ending = to_small_letters(path.extension().string());
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

ImageTree list_image_classes(const fs::path& folder, const std::vector<std::string>& but_not) {
  ImageTree tree;
  try {
    for (const auto& entry : fs::directory_iterator(folder)) {
      const auto name = entry.path().filename().string();
      const bool is_left_out = std::find(but_not.begin(), but_not.end(), name) != but_not.end();
      if (is_left_out || is_hidden_name(entry.path()) || !entry.is_directory()) continue;
      tree.classes.push_back(name);
    }
    std::sort(tree.classes.begin(), tree.classes.end());
    for (size_t c = 0; c < tree.classes.size(); ++c) {
      auto files = images_below(folder / tree.classes[c]);
      if (files.empty()) {
        throw DataError::empty(
            (folder / tree.classes[c]).string(),
            "each folder is a class and needs images (.png, .jpg, .jpeg); add some, or remove it");
      }
      std::sort(files.begin(), files.end(), comes_before);
      tree.labels.insert(tree.labels.end(), files.size(), static_cast<int64_t>(c));
      tree.files.insert(tree.files.end(), files.begin(), files.end());
    }
  } catch (const fs::filesystem_error& error) {
    throw DataError::unreadable(folder.string(), error.code().message());
  }
  if (tree.classes.empty()) {
    throw DataError::empty(folder.string(),
                           "it must have a folder of images for each class, such as cat/1.png");
  }
  return tree;
}

ImageTree list_images(const fs::path& folder) {
  ImageTree tree;
  try {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!entry.is_directory() && is_image_name(entry.path())) tree.files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    throw DataError::unreadable(folder.string(), error.code().message());
  }
  std::sort(tree.files.begin(), tree.files.end(), comes_before);
  return tree;
}

}  // namespace levin::readers
