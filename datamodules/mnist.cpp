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
