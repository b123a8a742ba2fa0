#include <levin/datamodules/mnist.h>

#include <utility>

namespace levin {
namespace {

std::shared_ptr<const ImageFiles> mnist_files() {
  return std::make_shared<IdxImageFiles>(
      "MNIST", "MNIST/raw",
      IdxImageFile{"train-images-idx3-ubyte",
                   "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
      IdxImageFile{"train-labels-idx1-ubyte",
                   "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
      IdxImageFile{"t10k-images-idx3-ubyte",
                   "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
      IdxImageFile{"t10k-labels-idx1-ubyte",
                   "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"});
}

}  // namespace

Fields describe(MNISTDataModuleOptions& o) {
  return fields_of<MNISTDataModuleOptions>({
      {"data_dir", &o.data_dir, "folder of MNIST's four files, plain or .gz"},
      {"download", &o.download, "download the files that are missing"},
      image_option("mirrors", &o.mirrors),
      image_option("val_split", &o.val_split),
      image_option("batch_size", &o.batch_size),
      shared_option("seed", &o.seed),
      image_option("shuffle", &o.shuffle),
      image_option("normalize", &o.normalize),
      image_option("mean", &o.mean),
      image_option("std", &o.std),
      {"flatten", &o.flatten, "images as [784] instead of [1, 28, 28]"},
      image_option("storage", &o.storage),
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      image_option("standardize", &o.standardize),
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

MNISTDataModule::MNISTDataModule(MNISTDataModuleOptions options)
    : ImageSetDataModule(
          {.key = "mnist", .train_rows = 60000, .shape = {1, 28, 28}, .files = mnist_files()},
          image_set_settings(options), training_loader_options(options)),
      options_(std::move(options)) {
  options_.data_dir = settings().data_dir;
}

std::vector<std::string> MNISTDataModule::class_names() { return digit_names(); }

Value MNISTDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
