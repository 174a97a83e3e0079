program solver
  use, intrinsic :: iso_fortran_env, only: real64, output_unit
  implicit none
  real(real64) :: x, f
  integer :: i

  print '(a)', 'x,f,converged'
  do i = 0, 999
    x = i / 100.0_real64 - 5
    f = x**2
    print '(*(g0,:,","))', x, f, f < 1
    flush (output_unit)  ! Else rows wait in the program, where no ack can be had for them.
  end do
end program solver
