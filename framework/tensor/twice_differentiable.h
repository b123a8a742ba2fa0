#pragma once

namespace levin {

/// While an object of this class exists, losses on this thread have to be computed by operations
/// that autograd can differentiate twice. Code that has a gradient in closed form asks `is_wanted`
/// and leaves it out then.
class TwiceDifferentiable {
 public:
  TwiceDifferentiable() { ++depth(); }
  ~TwiceDifferentiable() { --depth(); }
  TwiceDifferentiable(const TwiceDifferentiable&) = delete;
  TwiceDifferentiable& operator=(const TwiceDifferentiable&) = delete;

  static bool is_wanted() { return depth() > 0; }

 private:
  static int& depth();
};

}  // namespace levin
