#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/idx_image_options.h>
#include <levin/datamodules/image_set.h>

namespace levin {

/// The name and the places of FashionMNIST's files.
struct FashionMNISTFiles {
  static constexpr const char* kName = "FashionMNIST";
  static constexpr const char* kFolder = "data/fashion_mnist";
  static std::vector<std::string> mirrors() {
    return {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"};
  }
};
using FashionMNISTDataModuleOptions = IdxImageOptions<FashionMNISTFiles>;

/// 70,000 images of clothes, 28x28 pixels in grey, in 10 classes: 60,000 to train and validate on,
/// split by seed, and 10,000 to test on, which prediction goes over as well. Batches are {"input":
/// [batch, 1, 28, 28] float32 from 0 to 1, "target": [batch] int64}.
///
///     levin::FashionMNISTDataModule data({.batch_size = 128});
///     levin::Trainer({.max_epochs = 5}).fit(model, data);
///
/// Gzipped files must have the published SHA-256; of files that aren't, the numbers, sizes and
/// labels of images are checked. Bolts: FashionMNISTDataModule. Source: Xiao, Rasul, Vollgraf 2017,
/// arXiv:1708.07747; MIT.
class FashionMNISTDataModule : public ImageSetDataModule {
 public:
  using Options = FashionMNISTDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit FashionMNISTDataModule(FashionMNISTDataModuleOptions options = {});

  /// "T-shirt/top" to "Ankle boot".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;
  int64_t num_classes() override { return 10; }

 private:
  FashionMNISTDataModuleOptions options_;
};

}  // namespace levin
