#include <levin/datamodules/fashion_mnist.h>

#include <utility>

namespace levin {
namespace {

std::shared_ptr<const ImageFiles> fashion_mnist_files() {
  const auto file = [](const char* name, const char* archive_sha256) {
    return IdxImageFile{.name = name, .archive_sha256 = archive_sha256};
  };
  return std::make_shared<IdxImageFiles>(
      "FashionMNIST", "FashionMNIST/raw",
      file("train-images-idx3-ubyte",
           "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
      file("train-labels-idx1-ubyte",
           "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
      file("t10k-images-idx3-ubyte",
           "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
      file("t10k-labels-idx1-ubyte",
           "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"));
}

}  // namespace

FashionMNISTDataModule::FashionMNISTDataModule(FashionMNISTDataModuleOptions options)
    : ImageSetDataModule({.key = "fashion_mnist",
                          .train_rows = 60000,
                          .shape = {1, 28, 28},
                          .files = fashion_mnist_files()},
                         image_set_settings(options), training_loader_options(options)),
      options_(std::move(options)) {
  options_.data_dir = settings().data_dir;
}

std::vector<std::string> FashionMNISTDataModule::class_names() {
  return {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
}

Value FashionMNISTDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
