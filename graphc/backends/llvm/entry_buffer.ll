; The native entry: what entry_layout.ll does, by the buffer protocol instead of knowledge of NumPy's arrays.  Slower,
; and without results that are used again.

declare i32 @PyObject_GetBuffer(ptr, ptr, i32)
declare void @PyBuffer_Release(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)

; The tables of a context.
define internal ptr @context_of(ptr %self) {
  %address = get ptr %self:context.address
  %context = call ptr @PyLong_AsVoidPtr(ptr %address)
  ret ptr %context
}

; The address of an array's first element; null, with an exception, if it has no buffer.
define internal ptr @data_of(ptr %array) {
start:
  %view = alloca [${view_bytes} x i8]
  %failed = call i32 @PyObject_GetBuffer(ptr %array, ptr %view, i32 0)
  %has_failed = icmp ne i32 %failed, 0
  br i1 %has_failed, label %none, label %have
have:
  %data = get ptr %view:view.data
  call void @PyBuffer_Release(ptr %view)
  ret ptr %data
none:
  ret ptr null
}

; Write an array into the frame: how many bytes it has, or -1 if it is not what the row wants.
define internal i64 @take(ptr %row, ptr %x) {
start:
  %view = alloca [${view_bytes} x i8]
  %failed = call i32 @PyObject_GetBuffer(ptr %x, ptr %view, i32 ${c_contiguous_with_format})
  %has_failed = icmp ne i32 %failed, 0
  br i1 %has_failed, label %forget, label %have
forget:
  call void @PyErr_Clear()
  ret i64 -1
have:
  %data = get ptr %view:view.data
  %ndim = get i32 %view:view.ndim
  %wanted_ndim = get i32 %row:input.ndim
  %same_rank = icmp eq i32 %ndim, %wanted_ndim
  %format = get ptr %view:view.format
  %code = load i16, ptr %format                   ; one letter and the end of the text
  %wanted_code = get i16 %row:input.format
  %same_code = icmp eq i16 %code, %wanted_code
  %itemsize = get i64 %row:input.itemsize
  %address = ptrtoint ptr %data to i64
  %mask = sub i64 %itemsize, 1
  %low = and i64 %address, %mask
  %is_aligned = icmp eq i64 %low, 0
  %same = and i1 %same_rank, %same_code
  %fits = and i1 %same, %is_aligned
  br i1 %fits, label %fill, label %refuse
fill:
  %dims = get ptr %view:view.shape
  %bytes = call i64 @fill(ptr %row, ptr %data, ptr %dims)
  br label %release
refuse:
  br label %release
release:
  %taken = phi i64 [%bytes, %fill], [-1, %refuse]
  call void @PyBuffer_Release(ptr %view)
  ret i64 %taken
}

; How many there are that hold an object: nobody asks, as none is changed where it is.
define internal i32 @references(ptr %object) {
  ret i32 0
}

; Whether an array can be a result again.
define internal i1 @reusable(ptr %row, ptr %old, ptr %dims) {
  ret i1 false
}
