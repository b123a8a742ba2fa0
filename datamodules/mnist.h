#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/idx_image_options.h>
#include <levin/datamodules/image_set.h>

namespace levin {

/// The name and the places of MNIST's files.
struct MNISTFiles {
  static constexpr const char* kName = "MNIST";
  static constexpr const char* kFolder = "data/mnist";
  static std::vector<std::string> mirrors() {
    return {"https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/"};
  }
};
using MNISTDataModuleOptions = IdxImageOptions<MNISTFiles>;

/// 70,000 handwritten digits of 28x28 pixels: 60,000 to train and validate on, split by seed, and
/// 10,000 to test on, which prediction goes over as well. Batches are {"input": [batch, 1, 28, 28]
/// float32 from 0 to 1, "target": [batch] int64}.
///
///     levin::MNISTDataModule data({.data_dir = "data/mnist", .batch_size = 128});
///     levin::Trainer({.max_epochs = 5}).fit(model, data);
///
/// The uncompressed bytes of every file must have the published SHA-256, wherever they came from.
/// Bolts: MNISTDataModule. Source: LeCun, Cortes, Burges; CC BY-SA 3.0.
class MNISTDataModule : public ImageSetDataModule {
 public:
  using Options = MNISTDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit MNISTDataModule(MNISTDataModuleOptions options = {});

  /// "0" to "9".
  std::vector<std::string> class_names() override;
  Value hyper_parameters() const override;
  int64_t num_classes() override { return 10; }

 private:
  MNISTDataModuleOptions options_;
};

}  // namespace levin
