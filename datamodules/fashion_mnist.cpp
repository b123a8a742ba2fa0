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
