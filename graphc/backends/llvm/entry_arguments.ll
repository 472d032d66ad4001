; The native entry, from arguments and shared variables to the frame.

; A number of `itemsize` bytes, as a word.
define internal i64 @number(ptr %from, i64 %itemsize) {
  switch i64 %itemsize, label %eight [i64 1, label %one i64 2, label %two i64 4, label %four]
one:
  %x1 = load i8, ptr %from
  %word1 = zext i8 %x1 to i64
  ret i64 %word1
two:
  %x2 = load i16, ptr %from
  %word2 = zext i16 %x2 to i64
  ret i64 %word2
four:
  %x4 = load i32, ptr %from
  %word4 = zext i32 %x4 to i64
  ret i64 %word4
eight:
  %word8 = load i64, ptr %from
  ret i64 %word8
}

; Write the address (or the value) and the sizes of an array into the frame: how many bytes it has, or -1 if a size is
; not allowed.
define internal i64 @fill(ptr %row, ptr %data, ptr %dims) {
start:
  %slot = get ptr %row:input.slot
  %itemsize = get i64 %row:input.itemsize
  %ndim = get i64 %row:input.ndim
  %is_scalar = icmp eq i64 %ndim, 0
  br i1 %is_scalar, label %value, label %sizes
value:
  %bits = call i64 @number(ptr %data, i64 %itemsize)
  store i64 %bits, ptr %slot
  ret i64 0
sizes:
  store ptr %data, ptr %slot
  each %axis of input_size in %row:input.sizes
  %size.at = phi ptr [%dims, %axis.start], [%size.next, %axis.next]
  %bytes = phi i64 [%itemsize, %axis.start], [%product, %axis.next]
  %size = load i64, ptr %size.at
  %to = get ptr %axis:input_size.slot
  store i64 %size, ptr %to
  %only = get i64 %axis:input_size.only
  %any = icmp slt i64 %only, 0
  %equals = icmp eq i64 %only, %size
  %is_allowed = or i1 %any, %equals
  br i1 %is_allowed, label %allowed, label %refuse
allowed:
  %product = mul i64 %bytes, %size
  %size.next = getelementptr i64, ptr %size.at, i64 1
  next %axis
  %all = phi i64 [0, %axis.start], [%product, %axis.next]
  ret i64 %all
refuse:
  ret i64 -1
}

; Write an argument into the frame: how many bytes it has, or -1 if it is not what the row wants.
define internal i64 @accept(ptr %row, ptr %x) {
start:
  %overflow = alloca i32
  %type = get ptr %x:object.type
  %slot = get ptr %row:input.slot
  %itemsize = get i64 %row:input.itemsize
  %is_array = icmp eq ptr %type, @PyArray_Type
  br i1 %is_array, label %array, label %scalar
array:
  %taken = call i64 @take(ptr %row, ptr %x)
  ret i64 %taken
scalar:
  %numpy_type = get ptr %row:input.scalar
  %is_numpy = icmp eq ptr %type, %numpy_type
  br i1 %is_numpy, label %numpy, label %python
numpy:
  %value.at = at %x:number.value
  %numpy_bits = call i64 @number(ptr %value.at, i64 %itemsize)
  store i64 %numpy_bits, ptr %slot
  ret i64 0
python:
  %convert = get i64 %row:input.convert
  %is_float = icmp eq ptr %type, @PyFloat_Type
  br i1 %is_float, label %float, label %other
float:
  %float_flag = and i64 %convert, ${FLOAT}
  %takes_float = icmp ne i64 %float_flag, 0
  br i1 %takes_float, label %float_value, label %refuse
float_value:
  %float_bits = get i64 %x:number.value
  store i64 %float_bits, ptr %slot
  ret i64 0
other:
  %is_int = icmp eq ptr %type, @PyLong_Type
  %int_flags = and i64 %convert, ${INT}
  %takes_int = icmp ne i64 %int_flags, 0
  %both = and i1 %is_int, %takes_int
  br i1 %both, label %int, label %refuse
int:
  %int_value = call i64 @PyLong_AsLongLongAndOverflow(ptr %x, ptr %overflow)
  %over = load i32, ptr %overflow
  %exact = icmp eq i32 %over, 0
  br i1 %exact, label %int_fits, label %refuse
int_fits:
  %as_double = sitofp i64 %int_value to double
  %double_bits = bitcast double %as_double to i64
  %to_float_flag = and i64 %convert, ${INT_AS_FLOAT}
  %to_float = icmp ne i64 %to_float_flag, 0
  %int_bits = select i1 %to_float, i64 %double_bits, i64 %int_value
  store i64 %int_bits, ptr %slot
  ret i64 0
refuse:
  ret i64 -1
}

; Write arguments and shared values into the frame: how many bytes they have, or -1.
define internal i64 @read(ptr %context, ptr %args) {
start:
  each %argument of input in %context:context.arguments
  %x.at = phi ptr [%args, %argument.start], [%x.next, %argument.next]
  %sum = phi i64 [0, %argument.start], [%sum.next, %argument.next]
  %x = load ptr, ptr %x.at
  %bytes = call i64 @accept(ptr %argument, ptr %x)
  %refused = icmp slt i64 %bytes, 0
  br i1 %refused, label %refuse, label %accepted
accepted:
  %sum.next = add i64 %sum, %bytes
  %x.next = getelementptr ptr, ptr %x.at, i64 1
  next %argument
  %total = phi i64 [0, %argument.start], [%sum.next, %argument.next]
  each %cell of cell in %context:context.cells    ; a call in another thread may be on its way through Python
  %running.at = get ptr %cell:cell.running
  %running = load ptr, ptr %running.at
  %is_idle = icmp eq ptr %running, @Py_False
  br i1 %is_idle, label %idle, label %refuse
idle:
  next %cell
  each %shared of input in %context:context.shared
  %shared_sum = phi i64 [%total, %shared.start], [%shared_sum.next, %shared.next]
  %value.at = get ptr %shared:input.cell
  %value = load ptr, ptr %value.at
  %absent = icmp eq ptr %value, null
  br i1 %absent, label %refuse, label %present
present:
  put ptr %value, %shared:input.held
  %shared_bytes = call i64 @accept(ptr %shared, ptr %value)
  %unfit = icmp slt i64 %shared_bytes, 0
  br i1 %unfit, label %refuse, label %taken
taken:
  %shared_sum.next = add i64 %shared_sum, %shared_bytes
  next %shared
  %all = phi i64 [%total, %shared.start], [%shared_sum.next, %shared.next]
  ret i64 %all
refuse:
  ret i64 -1
}
