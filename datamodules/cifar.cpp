#include <levin/datamodules/cifar.h>

#include <utility>

namespace levin {
namespace {

constexpr int64_t kCifarTrainRows = 50000;

CifarDescription cifar10_files() {
  return {
      .title = "CIFAR-10",
      .archive = "cifar-10-binary.tar.gz",
      .archive_sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
      .folder = "cifar-10-batches-bin",
      .train =
          {{"data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"},
           {"data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"},
           {"data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"},
           {"data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"},
           {"data_batch_5.bin",
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"}},
      .test = {
          {"test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"}}};
}

CifarDescription cifar100_files(bool coarse_labels) {
  return {
      .title = "CIFAR-100",
      .archive = "cifar-100-binary.tar.gz",
      .archive_sha256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
      .folder = "cifar-100-binary",
      .train = {{"train.bin", "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"}},
      .test = {{"test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"}},
      .label_bytes = 2,
      .label_index = coarse_labels ? 0 : 1,
      .num_classes = coarse_labels ? 20 : 100};
}

}  // namespace

Fields describe(CIFAR10DataModuleOptions& o) {
  return fields_of<CIFAR10DataModuleOptions>({
      {"data_dir", &o.data_dir, "folder of cifar-10-binary.tar.gz or of its files"},
      {"download", &o.download, "download the archive if it is missing"},
      image_option("mirrors", &o.mirrors),
      image_option("val_split", &o.val_split),
      image_option("batch_size", &o.batch_size),
      shared_option("seed", &o.seed),
      image_option("shuffle", &o.shuffle),
      {"flatten", &o.flatten, "images as [3072] instead of [3, 32, 32]"},
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      image_option("standardize", &o.standardize),
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

Fields describe(CIFAR100DataModuleOptions& o) {
  return fields_of<CIFAR100DataModuleOptions>({
      {"data_dir", &o.data_dir, "folder of cifar-100-binary.tar.gz or of its files"},
      {"download", &o.download, "download the archive if it is missing"},
      image_option("mirrors", &o.mirrors),
      image_option("val_split", &o.val_split),
      image_option("batch_size", &o.batch_size),
      shared_option("seed", &o.seed),
      image_option("shuffle", &o.shuffle),
      {"flatten", &o.flatten, "images as [3072] instead of [3, 32, 32]"},
      {"coarse_labels", &o.coarse_labels, "20 superclasses instead of 100 classes"},
      shared_option("drop_last", &o.drop_last),
      shared_option("num_workers", &o.num_workers),
      shared_option("pin_memory", &o.pin_memory),
      image_option("standardize", &o.standardize),
      shared_option("sampling", &o.sampling),
      shared_option("transforms", &o.transforms),
  });
}

CIFAR10DataModule::CIFAR10DataModule(CIFAR10DataModuleOptions options)
    : ImageSetDataModule({.key = "cifar10",
                          .train_rows = kCifarTrainRows,
                          .shape = {3, 32, 32},
                          .files = std::make_shared<CifarFiles>(cifar10_files())},
                         image_set_settings(options), training_loader_options(options)),
      options_(std::move(options)) {
  options_.data_dir = settings().data_dir;
}

Value CIFAR10DataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

CIFAR100DataModule::CIFAR100DataModule(CIFAR100DataModuleOptions options)
    : ImageSetDataModule(
          {.key = "cifar100",
           .train_rows = kCifarTrainRows,
           .shape = {3, 32, 32},
           .files = std::make_shared<CifarFiles>(cifar100_files(options.coarse_labels))},
          image_set_settings(options), training_loader_options(options)),
      options_(std::move(options)) {
  options_.data_dir = settings().data_dir;
}

Value CIFAR100DataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

std::vector<std::string> CIFAR10DataModule::class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

std::vector<std::string> CIFAR100DataModule::class_names() {
  if (options_.coarse_labels) {
    return {"aquatic_mammals",
            "fish",
            "flowers",
            "food_containers",
            "fruit_and_vegetables",
            "household_electrical_devices",
            "household_furniture",
            "insects",
            "large_carnivores",
            "large_man-made_outdoor_things",
            "large_natural_outdoor_scenes",
            "large_omnivores_and_herbivores",
            "medium_mammals",
            "non-insect_invertebrates",
            "people",
            "reptiles",
            "small_mammals",
            "trees",
            "vehicles_1",
            "vehicles_2"};
  }
  return {"apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
          "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
          "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
          "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
          "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
          "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
          "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
          "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
          "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
          "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
          "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
          "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
          "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
          "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
          "table",       "tank",          "telephone", "television", "tiger",        "tractor",
          "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
          "willow_tree", "wolf",          "woman",     "worm"};
}

}  // namespace levin
