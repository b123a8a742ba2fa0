#include <levin/datamodules/mnist.h>

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <optional>
#include <system_error>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/digest.h>
#include <levin/datamodules/readers/download.h>
#include <levin/datamodules/readers/download_printer.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/datamodules/readers/idx.h>
#include <levin/datamodules/splits.h>
#include <levin/datamodules/tensors.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

/// The number of training images; files with the right checksums hold as many.
constexpr int64_t kTrainRows = 60000;
constexpr int64_t kSide = 28;

struct File {
  const char* name;
  /// The checksum of the uncompressed bytes, which are the same on every mirror; the archives
  /// aren't.
  const char* sha256;
};

constexpr File kTrainImages = {"train-images-idx3-ubyte",
                               "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"};
constexpr File kTrainLabels = {"train-labels-idx1-ubyte",
                               "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"};
constexpr File kTestImages = {"t10k-images-idx3-ubyte",
                              "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"};
constexpr File kTestLabels = {"t10k-labels-idx1-ubyte",
                              "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"};
constexpr std::array kFiles = {kTrainImages, kTrainLabels, kTestImages, kTestLabels};

/// Where torchvision puts the files.
fs::path torchvision_folder(const fs::path& folder) { return folder / "MNIST" / "raw"; }

/// The name with a dot before "idx", as in the archives that Kaggle and others hand out:
/// "train-images.idx3-ubyte".
std::string dotted_name(const File& file) {
  std::string name = file.name;
  name[name.find("-idx")] = '.';
  return name;
}

/// Looks for the file in the folder itself and in torchvision's. Throws DataError if this process
/// may not look there.
std::optional<fs::path> find(const fs::path& folder, const File& file) {
  std::error_code error;
  for (const auto& place : {folder, torchvision_folder(folder)}) {
    for (const auto& name : {std::string(file.name), dotted_name(file)}) {
      for (const char* suffix : {"", ".gz"}) {
        // Unpacked archives may have a folder of the file's name around the file.
        for (const auto& path : {place / (name + suffix), place / name / (name + suffix)}) {
          if (fs::is_regular_file(path, error)) return path;
          if (error != std::errc::permission_denied) continue;
          throw DataError::unreadable(path.string(), error.message());
        }
      }
    }
  }
  return {};
}

DataError missing(const fs::path& folder, const File& file) {
  return DataError(fmt::format(
      "{0} is missing: neither it nor {0}.gz nor {3} is in '{1}' or '{2}'; put the four files "
      "of MNIST in data_dir, or set download = true, so that prepare_data downloads them",
      file.name, folder.string(), torchvision_folder(folder).string(), dotted_name(file)));
}

/// Reads a file and checks that it has the published SHA-256.
readers::Array load(const fs::path& folder, const File& file) {
  const auto path = find(folder, file);
  if (!path) throw missing(folder, file);
  auto bytes = readers::read_file(*path);
  if (readers::is_gzip(bytes)) bytes = readers::gunzip(bytes, path->string());
  const auto digest = readers::digest_hex(readers::DigestKind::sha256, bytes);
  if (digest != file.sha256) {
    throw DataError::corrupt(path->string(),
                             fmt::format("its uncompressed bytes have SHA-256 {}, but those of "
                                         "MNIST have {}; remove it and download it again",
                                         digest, file.sha256));
  }
  return readers::parse_idx(std::move(bytes), path->string());
}

void obtain(const fs::path& folder, const File& file, const std::vector<std::string>& mirrors) {
  const auto archive = std::string(file.name) + ".gz";
  std::vector<std::string> urls;
  for (const auto& mirror : mirrors) {
    urls.push_back(mirror + (mirror.ends_with('/') ? "" : "/") + archive);
  }
  readers::download(urls, folder / archive,
                    {.checksum = {.hex = file.sha256, .of_uncompressed = true},
                     .progress = readers::DownloadPrinter(archive)});
}

/// Images and labels, in the shape and type that the options ask for.
std::shared_ptr<const TensorDataset> load_set(const MNISTDataModuleOptions& options,
                                              const File& images, const File& labels) {
  const fs::path folder = options.data_dir;
  const double mean = options.normalize ? options.mean : 0.0;
  const double std = options.normalize ? options.std : 1.0;
  auto x = to_tensor(load(folder, images));
  const auto rows = x.size(0);
  x = options.flatten ? x.view({rows, kSide * kSide}) : x.view({rows, 1, kSide, kSide});
  const bool is_bytes = options.storage == "uint8";
  if (!is_bytes) {
    x = converted_in_huge_pages(x, at::kFloat).div_(255.0);
    if (options.normalize) x.sub_(mean).div_(std);
  }
  auto set = std::make_shared<TensorDataset>(x, to_tensor(load(folder, labels)).to(at::kLong));
  if (is_bytes) {
    set->set_scale("input", {.scale = static_cast<float>(1.0 / (255.0 * std)),
                             .zero_point = static_cast<float>(255.0 * mean)});
  }
  return set;
}

int64_t val_rows(const CountOrFraction& val_split) {
  if (val_split.is_count()) return val_split.count();
  return static_cast<int64_t>(val_split.fraction() * static_cast<double>(kTrainRows));
}

}  // namespace

Fields describe(MNISTDataModuleOptions& o) {
  return fields_of<MNISTDataModuleOptions>({
      {"data_dir", &o.data_dir, "folder of MNIST's four files, plain or .gz"},
      {"download", &o.download, "download the files that are missing"},
      {"mirrors", &o.mirrors, "addresses to download from, tried in this order"},
      {"val_split", &o.val_split, "validation images: an int is their number, a float their share"},
      {"batch_size", &o.batch_size, "images of a batch on each device"},
      {"seed", &o.seed, "seed of the split"},
      {"shuffle", &o.shuffle, "shuffle the training images in each epoch"},
      {"normalize", &o.normalize, "map pixels, which are from 0 to 1, to (pixel - mean) / std"},
      {"mean", &o.mean, "see normalize"},
      {"std", &o.std, "see normalize"},
      {"flatten", &o.flatten, "images as [784] instead of [1, 28, 28]"},
      {"storage", &o.storage, "type of the images in memory: uint8 or float32"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
      {"standardize", &o.standardize, "pixels to mean 0 and deviation 1 in the training images"},
  });
}

MNISTDataModule::MNISTDataModule(MNISTDataModuleOptions options)
    : SplitDataModule(training_loader_options(options)), options_(std::move(options)) {
  const auto& split = options_.val_split;
  const auto text =
      split.is_count() ? fmt::format("{}", split.count()) : fmt::format("{}", split.fraction());
  if (!(split.is_count() || (split.fraction() >= 0.0 && split.fraction() <= 1.0)) ||
      val_rows(split) < 0 || val_rows(split) >= kTrainRows) {
    throw ConfigError::invalid_value(
        "val_split", text,
        "must be a number of images from 0 to 59999, or a share of at least 0 and less than 1");
  }
  if (val_rows(split) == 0 && !split.is_count() && split.fraction() > 0.0) {
    throw ConfigError::invalid_value(
        "val_split", text,
        "of 60000 images it comes to 0 after rounding; raise it, or set it to 0");
  }
  if (options_.storage != "uint8" && options_.storage != "float32") {
    throw ConfigError::unknown_name("storage", options_.storage, {"uint8", "float32"});
  }
  if (!(options_.std > 0.0)) {
    throw ConfigError::invalid_value("std", fmt::format("{}", options_.std), "must be above 0");
  }
  options_.data_dir = expand_home(std::move(options_.data_dir), "data_dir");
}

void MNISTDataModule::prepare_data() {
  const fs::path folder = options_.data_dir;
  for (const auto& file : kFiles) {
    if (find(folder, file)) continue;
    if (!options_.download) throw missing(folder, file);
    files::create_folder(folder);
    obtain(folder, file, options_.mirrors);
  }
}

void MNISTDataModule::setup(Stage stage) {
  const bool is_test = stage == Stage::test || stage == Stage::predict;
  if (!is_test || (options_.standardize && !standardization_ && !taken_)) setup_training();
  if (!is_test) return;
  if (sets_.test == nullptr) {
    sets_.test = standardized(load_set(options_, kTestImages, kTestLabels));
  }
  sets_.predict = sets_.test;
}

void MNISTDataModule::setup_training() {
  if (sets_.train != nullptr) return;
  const auto loaded = load_set(options_, kTrainImages, kTrainLabels);
  const int64_t val = val_rows(options_.val_split);
  auto split = split_in_order(shuffled_rows(kTrainRows, options_.seed),
                              {.train = kTrainRows - val, .val = val, .test = 0});
  standardization_ = taken_;
  if (options_.standardize && !standardization_) {
    standardization_ = Standardization::of(loaded->entries().front().second.tensor(), split.train);
  }
  const auto all = standardized(loaded);
  sets_.train = std::make_shared<Subset>(all, std::move(split.train));
  if (val > 0) sets_.val = std::make_shared<Subset>(all, std::move(split.val));
}

std::shared_ptr<const Dataset> MNISTDataModule::standardized(
    std::shared_ptr<const TensorDataset> set) const {
  const auto& by = standardization_ ? standardization_ : taken_;
  if (!by) return set;
  return std::make_shared<TensorDataset>(by->apply(set->entries()[0].second.tensor(), "images"),
                                         set->entries()[1].second.tensor());
}

StateDict MNISTDataModule::fitted_state() {
  const auto& o = options_;
  StateDict state;
  state.values["mnist"] =
      Value::Object{{"mean", o.normalize ? o.mean : 0.0}, {"std", o.normalize ? o.std : 1.0}};
  const auto& by = standardization_ ? standardization_ : taken_;
  if (by) by->save(state);
  return state;
}

void MNISTDataModule::load_fitted_state(const StateDict& state) {
  if (!state.values.contains("mnist")) return;
  const auto text = [](const Value& pixels) {
    const double mean = pixels.at("mean").as_double();
    const double std = pixels.at("std").as_double();
    if (mean == 0.0 && std == 1.0) return std::string("normalize = false");
    return fmt::format("normalize = true, mean = {} and std = {}", mean, std);
  };
  const auto trained = text(state.values.at("mnist"));
  const auto here = text(fitted_state().values.at("mnist"));
  if (trained != here) {
    throw ConfigError::conflict(
        fmt::format("the model was trained with {}, but here it is {}", trained, here),
        "set the same values, so that pixels have the same meaning");
  }
  auto taken = Standardization::load(state);
  require_standardized(taken, options_.standardize);
  if (taken != (standardization_ ? standardization_ : taken_)) {  // the sets are those of another
    sets_ = {};
    standardization_.reset();
  }
  taken_ = std::move(taken);
}

std::vector<std::string> MNISTDataModule::class_names() { return digit_names(); }

Value MNISTDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<int64_t> MNISTDataModule::dims() const {
  if (options_.flatten) return {kSide * kSide};
  return {1, kSide, kSide};
}

}  // namespace levin
