#include <levin/framework/tensor/twice_differentiable.h>

namespace levin {

int& TwiceDifferentiable::depth() {
  thread_local int depth = 0;
  return depth;
}

}  // namespace levin
