#include <levin/framework/data/transform.h>

namespace levin {

TransformList& added_transforms() {
  static TransformList list("transform");
  return list;
}

}  // namespace levin
