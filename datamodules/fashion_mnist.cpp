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

Fields describe(FashionMNISTDataModuleOptions& o) {
  return fields_of<FashionMNISTDataModuleOptions>({
      {"data_dir", &o.data_dir, "folder of FashionMNIST's four files, plain or .gz"},
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
