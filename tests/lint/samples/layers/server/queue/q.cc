#include "base/ok.h"
#include "x/y.pb.h"
