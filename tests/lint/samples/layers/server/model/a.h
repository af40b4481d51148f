#include "base/ok.h"
#include <grpcpp/grpcpp.h>
