#include <levin/datamodules/image_files.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <system_error>

#include <ATen/ops/empty.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/datamodules/readers/download.h>
#include <levin/datamodules/readers/download_printer.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/idx.h>
#include <levin/datamodules/readers/tar.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

namespace image_fs = std::filesystem;

/// Whether a regular file is there. Throws DataError if this process may not look.
bool is_image_file(const image_fs::path& path) {
  std::error_code error;
  if (image_fs::is_regular_file(path, error)) return true;
  if (error != std::errc::permission_denied) return false;
  throw DataError::unreadable(path.string(), error.message());
}

/// The name with a dot before "idx", as in the archives that Kaggle and others hand out:
/// "train-images.idx3-ubyte".
std::string dotted_name(std::string name) {
  const auto dash = name.find("-idx");
  if (dash != std::string::npos) name[dash] = '.';
  return name;
}

/// Looks for the file in the folder itself and in torchvision's.
std::optional<image_fs::path> find_idx(const image_fs::path& folder,
                                       const image_fs::path& torchvision,
                                       const IdxImageFile& file) {
  for (const auto& place : {folder, folder / torchvision}) {
    for (const auto& name : {file.name, dotted_name(file.name)}) {
      for (const char* suffix : {"", ".gz"}) {
        // Unpacked archives may have a folder of the file's name around the file.
        for (const auto& path : {place / (name + suffix), place / name / (name + suffix)}) {
          if (is_image_file(path)) return path;
        }
      }
    }
  }
  return {};
}

DataError missing_idx(const std::string& title, const image_fs::path& folder,
                      const image_fs::path& torchvision, const IdxImageFile& file) {
  return DataError(fmt::format(
      "{0} is missing: neither it nor {0}.gz nor {3} is in '{1}' or '{2}'; put the four files "
      "of {4} in data_dir, or set download = true, so that prepare_data downloads them",
      file.name, folder.string(), (folder / torchvision).string(), dotted_name(file.name), title));
}

void require_digest(std::span<const std::byte> bytes, const std::string& expected,
                    const std::string& path, const std::string& title, std::string_view which) {
  const auto digest = readers::digest_hex(readers::DigestKind::sha256, bytes);
  if (digest == expected) return;
  throw DataError::corrupt(path, fmt::format("its {}bytes have SHA-256 {}, but those of {} have "
                                             "{}; remove it and download it again",
                                             which, digest, title, expected));
}

void download_images(const std::vector<std::string>& mirrors, const std::string& archive,
                     const image_fs::path& folder, readers::Checksum checksum) {
  files::create_folder(folder);
  std::vector<std::string> urls;
  for (const auto& mirror : mirrors) {
    urls.push_back(mirror + (mirror.ends_with('/') ? "" : "/") + archive);
  }
  readers::download(
      urls, folder / archive,
      {.checksum = std::move(checksum), .progress = readers::DownloadPrinter(archive)});
}

constexpr int64_t kCifarSide = 32;
constexpr int64_t kCifarPixels = 3 * kCifarSide * kCifarSide;

std::optional<image_fs::path> find_cifar(const image_fs::path& folder, const CifarDescription& set,
                                         const CifarFile& file) {
  for (const auto& path : {folder / set.folder / file.name, folder / file.name}) {
    if (is_image_file(path)) return path;
  }
  return {};
}

bool has_all_files(const image_fs::path& folder, const CifarDescription& set,
                   const std::vector<CifarFile>& list) {
  for (const auto& file : list) {
    if (!find_cifar(folder, set, file)) return false;
  }
  return true;
}

DataError missing_cifar(const image_fs::path& folder, const CifarDescription& set) {
  return DataError(
      fmt::format("{0} is missing: neither it nor the folder {1} with its files is in '{2}'; put "
                  "one of them into data_dir, or set download = true, so that prepare_data "
                  "downloads {0}",
                  set.archive, set.folder, folder.string()));
}

/// The bytes of the files of the list, in its order, verified.
std::vector<readers::Bytes> cifar_bytes(const image_fs::path& folder, const CifarDescription& set,
                                        const std::vector<CifarFile>& list) {
  std::vector<readers::Bytes> result;
  if (has_all_files(folder, set, list)) {
    for (const auto& file : list) {
      const auto path = *find_cifar(folder, set, file);
      result.push_back(readers::read_file(path));
      require_digest(result.back(), file.sha256, path.string(), set.title, "");
    }
    return result;
  }
  const auto archive = folder / set.archive;
  if (!is_image_file(archive)) throw missing_cifar(folder, set);
  const auto all = readers::gunzip(readers::read_file(archive), archive.string());
  const auto entries = readers::tar_entries(all, archive.string());
  for (const auto& file : list) {
    const auto path = set.folder + "/" + file.name;
    const auto found = std::find_if(entries.begin(), entries.end(),
                                    [&](const auto& entry) { return entry.path == path; });
    if (found == entries.end()) {
      throw DataError::corrupt(
          archive.string(),
          fmt::format("it has no file {}; remove it and download it again", path));
    }
    const auto name = archive.string() + ", " + path;
    require_digest(found->bytes, file.sha256, name, set.title, "");
    result.emplace_back(found->bytes.begin(), found->bytes.end());
  }
  return result;
}

}  // namespace

void IdxImageFiles::obtain(const image_fs::path& folder, const std::vector<std::string>& mirrors,
                           bool download) const {
  for (const auto& file : files_) {
    if (find_idx(folder, torchvision_folder_, file)) continue;
    if (!download) throw missing_idx(title_, folder, torchvision_folder_, file);
    const bool is_of_uncompressed = !file.sha256.empty();
    download_images(mirrors, file.name + ".gz", folder,
                    {.hex = is_of_uncompressed ? file.sha256 : file.archive_sha256,
                     .of_uncompressed = is_of_uncompressed});
  }
}

LabelledImages IdxImageFiles::load(const image_fs::path& folder, bool is_test) const {
  const auto read = [&](const IdxImageFile& file) {
    const auto path = find_idx(folder, torchvision_folder_, file);
    if (!path) throw missing_idx(title_, folder, torchvision_folder_, file);
    auto bytes = readers::read_file(*path);
    if (readers::is_gzip(bytes)) {
      if (file.sha256.empty() && !file.archive_sha256.empty()) {
        require_digest(bytes, file.archive_sha256, path->string(), title_, "");
      }
      bytes = readers::gunzip(bytes, path->string());
    }
    if (!file.sha256.empty()) {
      require_digest(bytes, file.sha256, path->string(), title_, "uncompressed ");
    }
    return to_tensor(readers::parse_idx(std::move(bytes), path->string()), path->string());
  };
  const size_t first = is_test ? 2 : 0;
  LabelledImages images{read(files_[first]), read(files_[first + 1]).to(at::kLong)};
  if (images.pixels.dim() != 3 || images.pixels.scalar_type() != at::kByte) {
    throw DataError::bad_value("the shape and type",
                               c10::str(images.pixels.sizes(), " ", images.pixels.scalar_type()),
                               files_[first].name, "images must be uint8 [rows, height, width]");
  }
  images.pixels = images.pixels.unsqueeze(1);
  if (images.labels.dim() != 1 || images.labels.size(0) != images.pixels.size(0)) {
    throw DataError::rows_differ(files_[first].name, images.pixels.size(0), files_[first + 1].name,
                                 images.labels.dim() == 0 ? 0 : images.labels.size(0));
  }
  return images;
}

void CifarFiles::obtain(const image_fs::path& folder, const std::vector<std::string>& mirrors,
                        bool download) const {
  if (has_all_files(folder, set_, set_.train) && has_all_files(folder, set_, set_.test)) return;
  if (is_image_file(folder / set_.archive)) return;
  if (!download) throw missing_cifar(folder, set_);
  download_images(mirrors, set_.archive, folder, {.hex = set_.archive_sha256});
}

LabelledImages CifarFiles::load(const image_fs::path& folder, bool is_test) const {
  const auto& list = is_test ? set_.test : set_.train;
  const auto parts = cifar_bytes(folder, set_, list);
  const auto record = static_cast<size_t>(set_.label_bytes + kCifarPixels);
  size_t rows = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty() || parts[i].size() % record != 0) {
      throw DataError::corrupt(list[i].name,
                               fmt::format("it has {} bytes, which isn't a number of images of {} "
                                           "bytes each; remove it and download it again",
                                           parts[i].size(), record));
    }
    rows += parts[i].size() / record;
  }
  const auto count = static_cast<int64_t>(rows);
  LabelledImages images{at::empty({count, 3, kCifarSide, kCifarSide}, at::kByte),
                        at::empty({count}, at::kLong)};
  auto* pixels = images.pixels.mutable_data_ptr<uint8_t>();
  auto* labels = images.labels.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < parts.size(); ++i) {
    for (size_t at = 0; at < parts[i].size(); at += record) {
      const std::byte* image = parts[i].data() + at;
      const auto label = std::to_integer<int64_t>(image[set_.label_index]);
      if (label >= set_.num_classes) {
        throw DataError::bad_value(
            "the class of an image", std::to_string(label), list[i].name,
            fmt::format("{} has the classes 0 to {}", set_.title, set_.num_classes - 1));
      }
      *labels++ = label;
      std::memcpy(pixels, image + set_.label_bytes, static_cast<size_t>(kCifarPixels));
      pixels += kCifarPixels;
    }
  }
  return images;
}

}  // namespace levin
