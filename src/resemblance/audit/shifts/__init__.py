"""Changes that users' images meet (JPEG, blur, noise, ...): which reasons stay the same?"""
